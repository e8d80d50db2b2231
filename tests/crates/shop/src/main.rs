//! A shop with two databases.

use accounts::users;
use diesel::prelude::*;
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use diesel_binds::{Bind, Binds, Bound, Commit, Error, RunQueryDsl, Session, Source, bind_schema};
use ledger::entries;

bind_schema! {
    pub mod accounts: Accounts = "src/schema/accounts.rs";
    pub mod ledger: Ledger = "src/schema/ledger.rs";
}

#[derive(Bind)]
#[bind(key = "accounts", connection = AsyncPgConnection)]
pub struct Accounts;

#[derive(Bind)]
#[bind(key = "ledger", connection = AsyncMysqlConnection)]
pub struct Ledger;

#[derive(Queryable, Selectable, Identifiable, Bound)]
#[diesel(table_name = users)]
struct User {
    id: i32,
    balance: i64,
}

async fn transfer(session: &mut Session, from: i32, amount: i64) -> Result<Option<Commit>, Error> {
    let rich = users::table.find(from).filter(users::balance.ge(amount));
    let taken = diesel::update(rich) // runs on PostgreSQL
        .set(users::balance.eq(users::balance - amount))
        .execute(session)
        .await?;
    if taken == 0 {
        return Ok(None);
    }
    diesel::insert_into(entries::table) // runs on MariaDB
        .values((entries::user_id.eq(from), entries::amount.eq(amount)))
        .execute(session)
        .await?;
    Ok(Some(session.commit_all().await?)) // both, or none
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let binds = Binds::builder()
        .namespace("shop") // in the names of its prepared transactions
        .bind(Accounts, Source::env()) // ACCOUNTS_DATABASE_URL; or `.bind(Accounts, pool)` with a pool of deadpool or bb8
        .bind(Ledger, Source::env())
        .build()?;
    binds.install().await?; // the tables of the commit protocol; or run their Diesel migrations

    match transfer(&mut binds.session(), 1, 30).await? {
        Some(commit) => println!("committed unit {}", commit.unit()),
        None => println!("not enough"),
    }
    // Or as a closure: commits on `Ok`, rolls back on `Err`, panic or cancel.
    let (balance, noted) = binds
        .transaction::<_, Error, _>(async |session| {
            let user: User = users::table.find(1).first(session).await?;
            let of_user = entries::table.filter(entries::user_id.eq(user.id));
            let noted: i64 = of_user.count().get_result(session).await?;
            Ok((user.balance, noted))
        })
        .await?;
    println!("{balance} left, {noted} entries");
    Ok(())
}
