//! A bind by its URL, in a build without a pool. `cargo xtask features` checks the message of the compiler.

use diesel_binds::{AsyncSqliteConnection, Bind, Binds, Source};

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

fn main() {
    let _ = Binds::builder().bind(Accounts, Source::url("accounts.db")).build();
}
