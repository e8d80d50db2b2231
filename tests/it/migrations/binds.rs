//! The binds of these tests.

use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use diesel_binds::{AsyncSqliteConnection, Bind};

#[derive(Bind, Default)]
#[bind(key = "accounts", connection = AsyncPgConnection)]
pub struct Accounts;

#[derive(Bind, Default)]
#[bind(key = "orders", connection = AsyncPgConnection)]
pub struct Orders;

#[derive(Bind, Default)]
#[bind(key = "ledger", connection = AsyncMysqlConnection)]
pub struct Ledger;

#[derive(Bind, Default)]
#[bind(key = "journal", connection = AsyncMysqlConnection)]
pub struct Journal;

#[derive(Bind, Default)]
#[bind(key = "cache", connection = AsyncSqliteConnection)]
pub struct Cache;

#[derive(Bind, Default)]
#[bind(key = "archive", connection = AsyncSqliteConnection)]
pub struct Archive;
