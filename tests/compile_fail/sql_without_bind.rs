//! SQL text that names no bind.

use diesel_binds::{RunQueryDsl, Session};

fn run(session: &Session) {
    let _ = diesel::sql_query("DELETE FROM users").execute(session);
}

fn main() {}
