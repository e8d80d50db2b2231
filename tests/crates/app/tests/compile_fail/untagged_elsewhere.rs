//! A table that the crate that declares it did not tag.

use binds::{Bound, RunQueryDsl, Session};
use diesel::prelude::*;
use test_schema::forgotten;

#[derive(Queryable, Bound)]
#[diesel(table_name = forgotten)]
pub struct Forgotten {
    pub id: i32,
}

fn run(session: &Session) {
    let _ = forgotten::table.load::<Forgotten>(session);
}

fn main() {}
