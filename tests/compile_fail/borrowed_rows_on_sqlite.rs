//! An insert of several rows on SQLite takes rows that borrow nothing.

use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, RunQueryDsl, Session, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

bind_tables!(Accounts => users);

fn run(session: &Session) {
    let name = String::from("ann");
    let rows = vec![users::name.eq(name.as_str())];
    let _ = diesel::insert_into(users::table)
        .values(rows)
        .execute(session);
}

fn main() {}
