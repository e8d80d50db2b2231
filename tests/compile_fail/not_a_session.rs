//! A query on something that is no session.

use diesel_binds::{Binds, RunQueryDsl};

fn run(binds: &Binds) {
    let _ = diesel::sql_query("DELETE FROM users").execute(binds);
}

fn main() {}
