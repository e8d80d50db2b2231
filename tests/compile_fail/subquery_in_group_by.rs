//! A `GROUP BY` that reads another table: Diesel accepts no subquery there, not even of the same bind.

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_binds::{AsyncSqliteConnection, Bind, RunQueryDsl, Session, bind_tables};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

diesel::table! { friends (id) { id -> Integer, user_id -> Integer, } }

diesel::allow_tables_to_appear_in_same_query!(users, friends);

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

bind_tables! {
    Accounts => users, friends;
}

fn run(session: &Session) {
    let friend = friends::table
        .filter(friends::user_id.eq(users::id))
        .select(friends::id)
        .single_value();
    let _ = users::table
        .group_by(friend)
        .select(count_star())
        .load::<i64>(session);
}

fn main() {}
