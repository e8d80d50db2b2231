//! The binds of these tests, with a table each, and their common functions.

#![allow(
    unreachable_pub,
    reason = "a bind is as public as the tables that Diesel makes for it"
)]

use std::error::Error;

use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use diesel_binds::{AsyncSqliteConnection, Bind, bind_tables};

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
#[bind(key = "cache", connection = AsyncSqliteConnection)]
pub struct Cache;

#[derive(Bind, Default)]
#[bind(key = "archive", connection = AsyncSqliteConnection)]
pub struct Archive;

/// A bind that is never registered with a pool of its own.
#[derive(Bind, Default)]
#[bind(key = "unregistered", connection = AsyncPgConnection)]
pub struct Unregistered;

/// A bind whose key is not the name of a variable.
#[derive(Bind, Default)]
#[bind(key = "audit-log", connection = AsyncPgConnection)]
pub struct AuditLog;

diesel::table! { account (id) { id -> Integer, text -> Text, } }
diesel::table! { purchase (id) { id -> Integer, text -> Text, } }
diesel::table! { entry (id) { id -> Integer, text -> Text, } }
diesel::table! { hit (id) { id -> Integer, text -> Text, } }
diesel::table! { page (id) { id -> Integer, text -> Text, } }

bind_tables!(Accounts => account);
bind_tables!(Orders => purchase);
bind_tables!(Ledger => entry);
bind_tables!(Cache => hit);
bind_tables!(Archive => page);

/// The URL of an address without a server.
pub const NOWHERE_POSTGRES: &str = "postgres://app:unseen@127.0.0.1:1/app";
pub const NOWHERE_MYSQL: &str = "mysql://app:unseen@127.0.0.1:1/app";

/// Returns all texts of an error: its message, its causes, and its `Debug`.
pub fn texts(error: &dyn Error) -> String {
    let mut texts = format!("{error:?} {error:#?} {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        texts.push_str(&format!(": {cause} {cause:?}"));
        source = cause.source();
    }
    texts
}
