//! Where only Diesel's own rules find a table of another bind: they let no query have tables that were not allowed together.

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, RunQueryDsl, Session, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

diesel::table! { entries (id) { id -> Integer, user_id -> Integer, name -> Text, } }

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

fn set(session: &Session) {
    let name = entries::table.select(entries::name).single_value();
    let _ = diesel::update(users::table)
        .set(users::name.eq(name.assume_not_null()))
        .execute(session);
}

fn boxed() {
    let owners = entries::table.select(entries::user_id);
    let _ = users::table
        .into_boxed::<diesel::sqlite::Sqlite>()
        .filter(users::id.eq_any(owners));
}

fn having() {
    let owners = entries::table.select(entries::user_id);
    let _ = users::table
        .group_by(users::id)
        .select(count_star())
        .having(users::id.eq_any(owners));
}

fn main() {}
