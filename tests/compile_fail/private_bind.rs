//! A bind is public, because tables are.

#![allow(unused_imports)]

use diesel_binds::{AsyncSqliteConnection, Bind};

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
struct Accounts;

fn main() {}
