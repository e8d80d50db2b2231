//! The program of README.md: one commit over two SQLite files in the current folder.
//!
//! ```sh
//! cargo run --example transfer --features sqlite-bundled,deadpool
//! ```

use diesel::{insert_into, prelude::*, sql_query};
use diesel_binds::{AsyncSqliteConnection, Bind, Binds, RunQueryDsl, Source, bind_tables};

diesel::table! { users (id) { id -> Integer, balance -> BigInt, } }
diesel::table! { entries (id) { id -> Integer, amount -> BigInt, } }

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;
bind_tables!(Accounts => users);

#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncSqliteConnection)]
pub struct Ledger;
bind_tables!(Ledger => entries);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let binds = Binds::builder()
        .bind(Accounts, Source::url("accounts.db"))
        .bind(Ledger, Source::url("ledger.db").attach_to(Accounts)) // one connection for both files
        .build()?;
    let session = &mut binds.session();
    for table in [
        "main.users (id INTEGER PRIMARY KEY, balance)",
        "ledger.entries (id INTEGER PRIMARY KEY, amount)",
    ] {
        let create = sql_query(format!("CREATE TABLE IF NOT EXISTS {table}"));
        create.execute(&session.on(Accounts)).await?;
    }
    let user = insert_into(users::table).values(users::balance.eq(100));
    user.execute(session).await?;
    let entry = insert_into(entries::table).values(entries::amount.eq(100));
    entry.execute(session).await?;
    let commit = session.commit_all().await?; // both files, or neither
    println!("committed unit {}", commit.unit());
    Ok(())
}
