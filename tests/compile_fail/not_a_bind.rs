//! A bind is registered, not any type, and its connection is one that units can run on.

use diesel_async::pooled_connection::deadpool::Pool;
use diesel_binds::{AsyncSqliteConnection, Bind, Session};

#[derive(Bind)]
#[bind(key = "accounts", connection = Pool<AsyncSqliteConnection>)]
pub struct Accounts;

pub struct Ledger;

fn run(session: &Session) {
    let _ = session.on(Ledger);
}

fn main() {}
