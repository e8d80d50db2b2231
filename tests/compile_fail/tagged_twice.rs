//! A table is tagged once.

use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, Bound, bind_tables};

diesel::table! { users (id) { id -> Integer, } }

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

bind_tables!(Accounts => users);

#[derive(Queryable, Bound)]
#[diesel(table_name = users)]
#[bind(Accounts)]
pub struct User {
    pub id: i32,
}

fn main() {}
