//! An insert of several rows into a table without a tag.

use diesel::prelude::*;
use diesel_binds::{RunQueryDsl, Session};

diesel::table! { users (id) { id -> Integer, name -> Text, } }

fn run(session: &Session) {
    let rows = vec![users::name.eq("ann")];
    let _ = diesel::insert_into(users::table)
        .values(rows)
        .execute(session);
}

fn main() {}
