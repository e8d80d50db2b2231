//! A select without a table that names no bind.

use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, RunQueryDsl, Session, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

bind_tables!(Accounts => users);

fn run(session: &Session) {
    let ann = users::table.filter(users::name.eq("ann"));
    let _ = diesel::select(diesel::dsl::exists(ann)).get_result::<bool>(session);
}

fn main() {}
