//! A join of tables of two databases.

use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, RunQueryDsl, Session, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

diesel::table! { entries (id) { id -> Integer, user_id -> Integer, } }

diesel::joinable!(entries -> users (user_id));
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
    let _ = users::table
        .inner_join(entries::table)
        .select(users::name)
        .load::<String>(session);
}

fn main() {}
