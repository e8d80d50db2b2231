//! The code of `docs/testing.md`.

mod sandbox {
    use std::path::PathBuf;

    tokio::task_local! {
        static FILE: PathBuf;
    }

    fn database_url() -> String {
        FILE.with(|file| file.display().to_string())
    }

    use diesel::prelude::*;
    use diesel_binds::{
        AsyncSqliteConnection, Bind, Binds, BuildError, Error, RunQueryDsl, Source, bind_tables,
    };

    #[derive(Bind)]
    #[bind(key = "accounts", connection = AsyncSqliteConnection)]
    pub struct Accounts;

    diesel::table! { accounts (id) { id -> Integer, owner -> Text, balance -> BigInt, } }
    bind_tables!(Accounts => accounts);

    fn binds() -> Result<Binds, BuildError> {
        Binds::builder()
            .bind(Accounts, Source::url(database_url()))
            .build()
    }

    async fn open(binds: &Binds, owner: &str) -> Result<(), Error> {
        binds
            .transaction(async |session| {
                diesel::insert_into(accounts::table)
                    .values((accounts::owner.eq(owner), accounts::balance.eq(0)))
                    .execute(session)
                    .await?;
                session.after_commit(async |_| println!("a mail to the new customer"));
                Ok(())
            })
            .await
    }

    use diesel_binds::testing::Sandbox;

    async fn an_account_is_opened() -> Result<(), Box<dyn std::error::Error>> {
        let sandbox = Sandbox::of(&binds()?)
            .bind(Accounts)
            .capture_hooks()
            .start()
            .await?;

        open(sandbox.binds(), "Ada").await?;

        // Rows that were committed before, by the application or by others, are there too: look for your own.
        let session = sandbox.binds().session();
        let of_ada = accounts::table.filter(accounts::owner.eq("Ada"));
        let balances: Vec<i64> = of_ada.select(accounts::balance).load(&session).await?;
        assert_eq!(balances, [0]);
        drop(session); // the next unit on this bind waits for the end of this one

        // One query to open the account, and one of the test's own.
        let queries = sandbox.queries(Accounts);
        assert_eq!(queries.len(), 2);
        assert!(queries[0].starts_with("INSERT INTO `accounts`"));

        // The mail waits.
        assert_eq!(sandbox.captured_hooks(), 1);
        assert_eq!(sandbox.run_captured_hooks().await, Ok(1));

        sandbox.end().await?;
        Ok(())
    }

    #[tokio::test]
    async fn a_test_in_a_sandbox_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let work = async {
            let mut session = binds().unwrap().session();
            let table = "CREATE TABLE accounts \
                         (id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance BIGINT NOT NULL)";
            let create = diesel::sql_query(table);
            create.execute(&session.on(Accounts)).await.unwrap();
            session.commit_all().await.unwrap();
            an_account_is_opened().await.unwrap();
            let left: i64 = accounts::table.count().get_result(&session).await.unwrap();
            assert_eq!(left, 0);
        };
        FILE.scope(folder.path().join("accounts.db"), work).await;
    }
}

mod dying {
    use diesel_binds::{Binds, Commit, Error, Session};

    async fn transfer(session: &mut Session) -> Result<Commit, Error> {
        Ok(session.commit_all().await?)
    }

    async fn both_or_none() -> bool {
        true
    }

    async fn test(binds: &Binds) {
        use diesel_binds::testing::dying_at_every_step;

        dying_at_every_step(binds, transfer, async |case, outcome| {
            // `crash at decide:ledger:after`, and the result of `transfer`, or `None` if it died
            assert!(both_or_none().await, "torn by {case}: {outcome:?}");
        })
        .await;
    }
}
