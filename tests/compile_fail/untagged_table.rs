//! Queries on a table without a tag.

use diesel::prelude::*;
use diesel_binds::{RunQueryDsl, Session};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

fn read(session: &Session) {
    let _ = users::table
        .filter(users::id.eq(1))
        .load::<(i32, String)>(session);
}

fn write(session: &Session) {
    let _ = diesel::delete(users::table).execute(session);
}

fn main() {}
