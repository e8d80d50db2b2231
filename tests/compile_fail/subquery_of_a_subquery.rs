//! A selection, an order and a `HAVING` of a subquery that read a table of another bind. Diesel's own rules refuse them.

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

diesel::table! { friends (id) { id -> Integer, user_id -> Integer, } }

diesel::table! { entries (id) { id -> Integer, user_id -> Integer, } }

diesel::allow_tables_to_appear_in_same_query!(users, friends);

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncSqliteConnection)]
pub struct Ledger;

bind_tables! {
    Accounts => users, friends;
    Ledger => entries;
}

fn selection() {
    let owner = entries::table.select(entries::user_id).single_value();
    let owners = friends::table.select(owner);
    let _ = users::table.filter(users::id.nullable().eq_any(owners));
}

fn order() {
    let owner = entries::table.select(entries::user_id).single_value();
    let first = friends::table
        .select(friends::user_id)
        .order(owner)
        .limit(1);
    let _ = users::table.filter(users::id.nullable().eq(first.single_value()));
}

fn having() {
    let owners = entries::table.select(entries::user_id);
    let grouped = friends::table
        .group_by(friends::user_id)
        .select(friends::user_id)
        .having(friends::user_id.eq_any(owners));
    let _ = users::table.filter(exists(grouped));
}

fn main() {}
