//! A value in one of several rows of an insert, which is read from a table of another bind.

use diesel::prelude::*;
use diesel_async::AsyncPgConnection;
use diesel_binds::{Bind, RunQueryDsl, Session, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

diesel::table! { entries (id) { id -> Integer, user_id -> Integer, name -> Text, } }

diesel::allow_tables_to_appear_in_same_query!(users, entries);

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncPgConnection)]
pub struct Accounts;

#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncPgConnection)]
pub struct Ledger;

bind_tables! {
    Accounts => users;
    Ledger => entries;
}

fn run(session: &Session) {
    let name = entries::table.select(entries::name).single_value();
    let _ = diesel::insert_into(users::table)
        .values(vec![(users::id.eq(1), users::name.eq(name.assume_not_null()))])
        .execute(session);
}

fn main() {}
