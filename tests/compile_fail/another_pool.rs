//! A pool whose connections are not those of the bind.

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::{bb8, deadpool};
use diesel_binds::{AsyncSqliteConnection, Bind, Binds};

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

fn from_deadpool(pool: deadpool::Pool<AsyncPgConnection>) {
    let _ = Binds::builder().bind(Accounts, pool);
}

fn from_bb8(pool: bb8::Pool<AsyncPgConnection>) {
    let _ = Binds::builder().bind(Accounts, pool);
}

fn from_url() {
    let _ = Binds::builder().bind(Accounts, "sqlite://accounts.db");
}

fn main() {}
