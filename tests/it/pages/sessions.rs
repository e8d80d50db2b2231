//! The code of `docs/sessions.md`.

mod servers {
    use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
    use diesel_binds::{Bind, Binds, Error, RunQueryDsl, Session, Source};
    use kit::database::Database;
    use kit::servers::Server;

    #[derive(Bind)]
    #[bind(key = "accounts", connection = AsyncPgConnection)]
    pub struct Accounts;

    async fn text(session: &Session) -> Result<(), Error> {
        diesel::sql_query("ANALYZE users")
            .execute(&session.on(Accounts))
            .await?;
        Ok(())
    }

    async fn raw(session: &Session) -> Result<(), Box<dyn std::error::Error>> {
        let mut connection = session.connection(Accounts).await?;
        connection
            .raw()?
            .batch_execute("COMMENT ON TABLE users IS 'people'")
            .await?;
        Ok(())
    }

    #[tokio::test]
    async fn statements_in_text_and_on_the_connection_are_part_of_the_unit() {
        let database = Database::on(Server::PostgresA).await;
        let binds = Binds::builder().bind(Accounts, Source::url(database.url()));
        let binds = binds.build().unwrap();
        let mut session = binds.session();
        diesel::sql_query("CREATE TABLE users (id INTEGER)")
            .execute(&session.on(Accounts))
            .await
            .unwrap();
        text(&session).await.unwrap();
        raw(&session).await.unwrap();
        session.commit_all().await.unwrap();
    }
}

mod files {
    use diesel_binds::{AsyncSqliteConnection, Bind, Binds, BuildError, Source};

    #[derive(Bind)]
    #[bind(key = "accounts", connection = AsyncSqliteConnection)]
    pub struct Accounts;

    #[derive(Bind)]
    #[bind(key = "ledger", connection = AsyncSqliteConnection)]
    pub struct Ledger;

    fn attached() -> Result<Binds, BuildError> {
        let binds = Binds::builder()
            .bind(Accounts, Source::url("accounts.db")) // the URL of SQLite is a path
            .bind(Ledger, Source::url("ledger.db").attach_to(Accounts)) // no pool of its own
            .build()?;
        Ok(binds)
    }

    #[tokio::test]
    async fn attached_files_are_registered() {
        attached().unwrap().close().await;
    }
}
