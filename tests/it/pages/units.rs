//! The code of `docs/units.md`.

mod shared {
    use diesel_async::AsyncPgConnection;
    use diesel_binds::{Bind, Binds, BuildError, Source};

    #[derive(Bind)]
    #[bind(key = "accounts", connection = AsyncPgConnection)]
    pub struct Accounts;

    fn binds() -> Result<Binds, BuildError> {
        Binds::builder().bind(Accounts, Source::env()).build()
    }
}

mod hooks {
    use super::shared::Accounts;

    use diesel::prelude::*;
    use diesel_binds::{BoxError, Commit, Error, RunQueryDsl, Session, bind_tables};

    diesel::table! { orders (id) { id -> Integer, total -> BigInt, } }
    bind_tables!(Accounts => orders);

    async fn order(
        session: &mut Session,
        total: i64,
        mail: String,
        upload: String,
    ) -> Result<Commit, Error> {
        session.before_commit(async |session| {
            let negative = orders::table.filter(orders::total.lt(0)).count();
            match negative.get_result::<i64>(session).await? {
                0 => Ok(()),
                _ => Err(BoxError::from("an order has a negative total")),
            }
        });
        session.after_commit(async move |_commit| send_mail(&mail).await);
        session.after_rollback(async move |_unit| delete_upload(&upload).await);
        diesel::insert_into(orders::table)
            .values(orders::total.eq(total))
            .execute(session)
            .await?;
        Ok(session.commit_all().await?)
    }

    async fn send_mail(address: &str) -> std::io::Result<()> {
        println!("a mail to {address}");
        Ok(())
    }

    async fn delete_upload(file: &str) -> std::io::Result<()> {
        std::fs::remove_file(file)
    }
}

mod tenants {
    use super::shared::Accounts;
    use diesel_binds::{Binds, BuildError, Source};

    use diesel_async::SimpleAsyncConnection as _;

    tokio::task_local! {
        /// The tenant of the request.
        static TENANT: u32;
    }

    fn binds() -> Result<Binds, BuildError> {
        Binds::builder()
            .bind(Accounts, Source::env())
            .after_begin(Accounts, |connection| {
                // In the task of the query that begins.
                let tenant = TENANT.try_with(|tenant| *tenant).unwrap_or_default();
                Box::pin(async move {
                    let set = format!(
                        "SET LOCAL search_path = tenant_{tenant}; SET LOCAL ROLE shop_tenant"
                    );
                    connection.batch_execute(&set).await
                })
            })
            .build()
    }
}

mod nested {
    use diesel_binds::{Error, Propagation, Session};

    /// A unit by itself, or a part of a larger one.
    async fn pay(session: &mut Session) -> Result<(), Error> {
        session
            .transaction(Propagation::Join, async |_session| {
                // … queries …
                Ok(())
            })
            .await
    }

    /// Kept, whatever becomes of the unit around it.
    async fn audit(session: &mut Session) -> Result<(), Error> {
        session
            .transaction(Propagation::New, async |_session| Ok(()))
            .await
    }

    /// Committed when it returns `Ok`: others may act on that at once.
    async fn publish(session: &mut Session) -> Result<(), Error> {
        session
            .transaction(Propagation::Never, async |_session| Ok(()))
            .await
    }
}

mod retries {
    use diesel_binds::{Binds, Error, Retry, Session};

    async fn transfer(_session: &mut Session) -> Result<(), Error> {
        // … queries …
        Ok(())
    }

    async fn handle(binds: &Binds) -> Result<(), Error> {
        let retrying = binds.retrying(Retry::new().attempts(5));
        let done = retrying.transaction(async |session| transfer(session).await);
        if let Err(failed) = done.await {
            // With its causes.
            eprintln!(
                "failed after {} attempts: {:?}",
                failed.attempts(),
                failed.error()
            );
            return Err(failed.into()); // `Error::Retried`, if there were several
        }
        Ok(())
    }
}

mod options {
    use diesel_binds::{Binds, Error, Isolation, Session, SessionOptions};
    use std::time::Duration;

    async fn report(binds: &Binds) -> Result<(), Error> {
        let options = SessionOptions::new()
            .read_only()
            .isolation(Isolation::Serializable)
            .deadline(Duration::from_secs(5));
        let work = async |_session: &mut Session| Ok(());
        binds.with(options).transaction(work).await
    }
}

mod pooler {
    use super::shared::Accounts;

    use diesel::connection::CacheSize;
    use diesel_async::{AsyncConnection as _, AsyncPgConnection};
    use diesel_binds::{BindsBuilder, Source};

    fn register(builder: BindsBuilder, url: &str) -> BindsBuilder {
        let source = Source::url(url).setup(|url| {
            Box::pin(async move {
                let mut connection = AsyncPgConnection::establish(url).await?;
                connection.set_prepared_statement_cache_size(CacheSize::Disabled);
                Ok(connection)
            })
        });
        builder.bind(Accounts, source)
    }
}

mod outer {
    use super::shared::Accounts;

    use diesel_async::{AsyncConnection as _, AsyncPgConnection};
    use diesel_binds::{Binds, Commit, Error, OuterConnection, SessionOptions};

    async fn test(binds: &Binds, mut connection: AsyncPgConnection) -> Result<(), Error> {
        connection
            .begin_test_transaction()
            .await
            .expect("a fresh connection begins");
        let outer = OuterConnection::new(connection);

        let options = SessionOptions::new().within(Accounts, &outer);
        let mut session = binds.with(options).session();
        // … queries …
        let commit = session.commit_all().await?;
        assert!(matches!(commit, Commit::Released(_))); // the savepoint is released, nothing is committed

        drop(outer); // and nothing is kept
        Ok(())
    }
}
