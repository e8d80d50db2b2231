//! The binds of these tests.

use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use diesel_binds::{AsyncSqliteConnection, Bind};

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncPgConnection)]
pub struct Accounts;

#[derive(Bind)]
#[bind(key = "orders", connection = AsyncPgConnection)]
pub struct Orders;

#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncMysqlConnection)]
pub struct Ledger;

#[derive(Bind)]
#[bind(key = "journal", connection = AsyncMysqlConnection)]
pub struct Journal;

#[derive(Bind)]
#[bind(key = "cache", connection = AsyncSqliteConnection)]
pub struct Cache;

#[derive(Bind)]
#[bind(key = "archive", connection = AsyncSqliteConnection)]
pub struct Archive;
