//! An order by a value that is read from a table of another bind.

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
    let owner = entries::table
        .select(entries::name)
        .filter(entries::user_id.eq(users::id))
        .single_value();
    let _ = users::table
        .order(owner.desc())
        .load::<(i32, String)>(session);
}

fn main() {}
