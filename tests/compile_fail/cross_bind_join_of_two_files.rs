//! A join of tables of two databases that are declared apart, as `bind_schema!` does: Diesel knows no query with both.

use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, RunQueryDsl, Session, bind_tables};

mod accounts {
    diesel::table! { users (id) { id -> Integer, name -> Text, } }
}

mod ledger {
    diesel::table! { entries (id) { id -> Integer, user_id -> Integer, } }
}

use accounts::users;
use ledger::entries;

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
        .inner_join(entries::table.on(entries::user_id.eq(users::id)))
        .select(users::name)
        .load::<String>(session);
}

fn main() {}
