//! Two SQLite files, one commit: a transfer that is kept in both, and one that is rolled back in both.
//!
//! ```sh
//! cargo run --example quickstart --features sqlite-bundled,deadpool
//! ```

use diesel::prelude::*;
use diesel_binds::{
    AsyncSqliteConnection, Bind, Binds, Bound, Error, RunQueryDsl, Session, Source,
};

diesel::table! {
    users (id) {
        id -> Integer,
        name -> Text,
        balance -> BigInt,
    }
}

diesel::table! {
    entries (id) {
        id -> Integer,
        user_id -> Integer,
        amount -> BigInt,
    }
}

/// The balance of each user: one file.
#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncSqliteConnection)]
pub struct Accounts;

/// The transfers, in a file of their own.
#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncSqliteConnection)]
pub struct Ledger;

#[derive(Queryable, Selectable, Identifiable, Bound)]
#[diesel(table_name = users)]
#[bind(Accounts)] // from here on, a query on `users` knows its database
struct User {
    id: i32,
    name: String,
    balance: i64,
}

#[derive(Insertable, Bound)]
#[diesel(table_name = entries)]
#[bind(Ledger)]
struct NewEntry {
    user_id: i32,
    amount: i64,
}

#[derive(Debug, thiserror::Error)]
enum TransferError {
    #[error("{0} has only {1}")]
    NotEnough(String, i64),
    #[error(transparent)]
    Database(#[from] Error),
}

/// A service: it holds a session, and needs to know of no connection, pool or database.
async fn transfer(
    session: &mut Session,
    from: i32,
    to: i32,
    amount: i64,
) -> Result<(), TransferError> {
    for (user, change) in [(from, -amount), (to, amount)] {
        diesel::update(users::table.find(user))
            .set(users::balance.eq(users::balance + change))
            .execute(session)
            .await?;
        diesel::insert_into(entries::table)
            .values(NewEntry {
                user_id: user,
                amount: change,
            })
            .execute(session)
            .await?;
    }
    let sender: User = users::table.find(from).first(session).await?;
    if sender.balance < 0 {
        return Err(TransferError::NotEnough(
            sender.name,
            sender.balance + amount,
        ));
    }
    Ok(())
}

async fn show(binds: &Binds) -> Result<(), Error> {
    let session = binds.session();
    // Two binds at once: queries take `&Session`.
    let (users, moved) = tokio::join!(
        users::table.order(users::id).load::<User>(&session),
        entries::table.count().get_result::<i64>(&session),
    );
    for User { id, name, balance } in users? {
        println!("    accounts.db  {id} {name:<6} {balance:>4}");
    }
    println!("    ledger.db    {} entries", moved?);
    Ok(())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let file = |name: &str| folder.path().join(name).display().to_string();
    create(
        &file("accounts.db"),
        "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL, balance BIGINT NOT NULL);
        INSERT INTO users VALUES (1, 'Ada', 100), (2, 'Grace', 50)",
    )?;
    create(
        &file("ledger.db"),
        "CREATE TABLE entries (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, amount BIGINT NOT NULL)",
    )?;

    // SQLite commits two files as one when they are attached to one connection.
    let binds = Binds::builder()
        .bind(Accounts, Source::url(file("accounts.db")))
        .bind(Ledger, Source::url(file("ledger.db")).attach_to(Accounts))
        .build()?;

    println!("before:");
    show(&binds).await?;

    println!("\nAda sends 30 to Grace:");
    binds
        .transaction(async |session| transfer(session, 1, 2, 30).await)
        .await?;
    println!("  committed in both files");
    show(&binds).await?;

    println!("\nAda sends 500 to Grace:");
    match binds
        .transaction(async |session| transfer(session, 1, 2, 500).await)
        .await
    {
        Err(error @ TransferError::NotEnough(..)) => {
            println!("  {error}: rolled back in both files, although all was written by then");
        }
        other => return Err(format!("expected a refusal, got {other:?}").into()),
    }
    show(&binds).await?;

    // The same without a closure: a session is a value, and ends when you say so.
    println!("\nGrace sends 80 to Ada:");
    let mut session = binds.session();
    transfer(&mut session, 2, 1, 80).await?;
    let commit = session.commit_all().await?;
    println!("  committed: unit {}", commit.unit());
    show(&binds).await?;

    binds.close().await;
    Ok(())
}

/// An application has migrations for this.
fn create(file: &str, schema: &str) -> Result<(), Box<dyn std::error::Error>> {
    use diesel::connection::SimpleConnection as _;
    SqliteConnection::establish(file)?.batch_execute(schema)?;
    Ok(())
}
