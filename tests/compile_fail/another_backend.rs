//! An expression of PostgreSQL in a query on SQLite.

use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, RunQueryDsl, Session, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

bind_tables!(Accounts => users);

fn run(session: &Session) {
    let found = users::table.filter(users::name.ilike("a%"));
    let _ = diesel::delete(found).execute(session);
}

fn main() {}
