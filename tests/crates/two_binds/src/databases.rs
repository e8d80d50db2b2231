//! The databases of the application.

use diesel_async::AsyncPgConnection;
use diesel_binds::{Bind, Binds, BuildError, Source, bind_schema};

/// The balance of an owner.
#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncPgConnection)]
pub struct Accounts;

/// A transfer between two accounts.
#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncPgConnection)]
pub struct Ledger;

bind_schema! {
    pub mod accounts: Accounts = "src/schema/accounts.rs";
    pub mod ledger: Ledger = "src/schema/ledger.rs";
}

/// Reads the URLs from the environment.
pub fn binds() -> Result<Binds, BuildError> {
    Binds::builder()
        .namespace("shop")
        .bind(Accounts, Source::env())
        .bind(Ledger, Source::env())
        .build()
}
