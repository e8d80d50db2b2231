//! An insert whose select has a subquery on a table of another bind.

use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, RunQueryDsl, Session, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

diesel::table! { entries (id) { id -> Integer, user_id -> Integer, name -> Text, } }

diesel::allow_tables_to_appear_in_same_query!(users, entries);

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncSqliteConnection)]
pub struct Ledger;

bind_tables! {
    Accounts => users;
    Ledger => entries;
}

fn run(session: &Session) {
    let owners = entries::table.select(entries::user_id);
    let rows = users::table.filter(users::id.eq_any(owners));
    let _ = diesel::insert_into(users::table)
        .values(rows)
        .execute(session);
}

fn main() {}
