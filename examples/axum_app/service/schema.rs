//! The two databases and their tables.

use std::error::Error;

use diesel_async::{
    AsyncConnection as _, AsyncMysqlConnection, AsyncPgConnection, SimpleAsyncConnection as _,
};
use diesel_binds::{Bind, bind_tables};

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncPgConnection)]
pub struct Accounts;

#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncMysqlConnection)]
pub struct Ledger;

diesel::table! {
    accounts (id) {
        id -> Integer,
        owner -> Text,
        balance -> BigInt,
    }
}

diesel::table! {
    payments (reference) {
        reference -> Text,
        payer -> Integer,
        payee -> Integer,
        amount -> BigInt,
    }
}

diesel::table! {
    entries (id) {
        id -> Integer,
        reference -> Text,
        account -> Integer,
        amount -> BigInt,
    }
}

bind_tables!(Accounts => accounts, payments);
bind_tables!(Ledger => entries);

/// Creates the tables where they are missing. A larger service has Diesel migrations for each database.
pub(crate) async fn create(accounts: &str, ledger: &str) -> Result<(), Box<dyn Error>> {
    AsyncPgConnection::establish(accounts)
        .await?
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS accounts (id SERIAL PRIMARY KEY, owner TEXT NOT NULL, \
             balance BIGINT NOT NULL CHECK (balance >= 0)); \
             CREATE TABLE IF NOT EXISTS payments (reference TEXT PRIMARY KEY, payer INTEGER NOT NULL, \
             payee INTEGER NOT NULL, amount BIGINT NOT NULL)",
        )
        .await?;
    AsyncMysqlConnection::establish(ledger)
        .await?
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS entries (id INTEGER AUTO_INCREMENT PRIMARY KEY, \
             reference VARCHAR(64) NOT NULL, account INTEGER NOT NULL, amount BIGINT NOT NULL, \
             KEY (account), KEY (reference))",
        )
        .await?;
    Ok(())
}
