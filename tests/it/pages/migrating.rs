//! The code of `docs/migrations.md`, over the folders of `tests/crates/two_binds`.

mod program {
    use diesel_async::AsyncPgConnection;
    use diesel_binds::Bind;

    #[derive(Bind)]
    #[bind(key = "accounts", connection = AsyncPgConnection)]
    pub struct Accounts;

    #[derive(Bind)]
    #[bind(key = "ledger", connection = AsyncPgConnection)]
    pub struct Ledger;

    use diesel_binds::{Binds, Source};
    use diesel_migrations::{EmbeddedMigrations, embed_migrations};

    const ACCOUNTS: EmbeddedMigrations =
        embed_migrations!("tests/crates/two_binds/migrations/accounts");
    const LEDGER: EmbeddedMigrations =
        embed_migrations!("tests/crates/two_binds/migrations/ledger");

    async fn migrate() -> Result<(), Box<dyn std::error::Error>> {
        let binds = Binds::builder()
            .namespace("shop")
            .bind(Accounts, Source::env())
            .bind(Ledger, Source::env())
            .migrations(Accounts, ACCOUNTS)
            .migrations(Ledger, LEDGER)
            // As `needs` in the manifest, which counts as well if it was given.
            .migrations_need(Ledger, (Accounts, "2026-01-02-000000_users"))
            .build()?;

        let migrated = binds.migrations().run().await?;
        println!("{migrated}"); // done: `accounts` (2026-01-02-000000_users), `ledger` (2026-01-03-000000_entries)
        Ok(())
    }
}

mod build_script {
    fn main() {
        println!("cargo::rerun-if-changed=migrations");
    }
}
