//! A key has few characters, because it is a part of global transaction ids.

#![allow(unused_imports)]

use diesel_binds::{AsyncSqliteConnection, Bind};

#[derive(Bind)]
#[bind(key = "My Accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

fn main() {}
