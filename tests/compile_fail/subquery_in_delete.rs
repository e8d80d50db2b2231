//! A condition of a delete that reads a table of another bind.

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
    let owned = entries::table.filter(entries::user_id.eq(users::id));
    let _ = diesel::delete(users::table.filter(diesel::dsl::exists(owned))).execute(session);
}

fn main() {}
