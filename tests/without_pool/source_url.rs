//! A bind by its URL, in a build without a pool. `cargo xtask features` looks at what the compiler says.

use diesel_binds::{AsyncSqliteConnection, Bind, Binds, Source};

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

fn main() {
    let _ = Binds::builder().bind(Accounts, Source::url("accounts.db")).build();
}
