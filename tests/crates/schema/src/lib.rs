//! The tables and the binds of an application, in a crate of their own: tables are tagged where they are declared.

use diesel_binds::{AsyncSqliteConnection, Bind, bind_schema, bind_tables};

/// The balance of an owner.
#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

/// A transfer between two accounts.
#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncSqliteConnection)]
pub struct Ledger;

bind_schema! {
    pub mod accounts: Accounts = "src/accounts.rs";
    /// A transfer, with the names of both owners.
    pub mod ledger: crate::Ledger = "src/ledger.rs";
}

diesel::table! {
    settings (name) {
        name -> Text,
        value -> Text,
    }
}

bind_tables!(Accounts => settings);

diesel::table! {
    /// Nobody tagged it.
    forgotten (id) {
        id -> Integer,
    }
}
