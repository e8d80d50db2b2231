//! A bind, a table and a model of this crate: the macros name the library as this crate does.

use binds::{AsyncSqliteConnection, Bind, Bound, bind_tables};
use diesel::prelude::*;

#[derive(Bind)]
#[bind(key = "jobs", connection = AsyncSqliteConnection)]
pub struct Jobs;

diesel::table! {
    jobs (id) {
        id -> Integer,
        kind -> Text,
    }
}

diesel::table! {
    runs (id) {
        id -> Integer,
        job_id -> Integer,
    }
}

bind_tables!(Jobs => runs);

/// A macro that tags its table as well, as its name says.
#[derive(Debug, PartialEq, Queryable, Insertable, Bound)]
#[bind(Jobs)]
pub struct Job {
    pub id: i32,
    pub kind: String,
}
