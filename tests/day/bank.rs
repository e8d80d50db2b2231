//! Three databases with accounts, and a unit that moves money between some of them.

use std::time::Duration;

use diesel::prelude::*;
use diesel::sql_types::Text;
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use diesel_binds::build::FromUrl;
use diesel_binds::{
    AsyncSqliteConnection, Bind, Binds, Error, PoolOptions, RecoveryOptions, RunQueryDsl, Session,
    Source, bind_tables,
};
use serde::{Deserialize, Serialize};

/// The keys of the binds, in the order of their URLs.
pub(crate) const KEYS: [&str; 3] = ["postgres", "mariadb", "file"];

/// The number of accounts in each database, and the initial balance of each.
pub(crate) const ACCOUNTS: i32 = 100;
pub(crate) const BALANCE: i64 = 1000;

/// The limits of each pool.
pub(crate) const MAX_SIZE: usize = 6;
pub(crate) const MIN_IDLE: usize = 2;

/// One leg of a unit: a transfer in one database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Leg {
    /// The place of the database in [`KEYS`].
    pub(crate) bank: usize,
    pub(crate) account: i32,
    pub(crate) amount: i64,
}

/// A row with one text.
#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

/// The balance without what was moved, in one statement and so from one snapshot.
const OPENING: &str = "SELECT CONCAT((SELECT SUM(balance) FROM accounts) \
                       - (SELECT COALESCE(SUM(amount), 0) FROM legs), '') AS value";

/// Defines a bind with its tables. A generic cannot define types, and each bind needs table types of its own.
macro_rules! bank {
    ($module:ident, $bind:ident, $key:literal, $connection:ty) => {
        pub(crate) mod $module {
            use super::*;

            diesel::table! { accounts (id) { id -> Integer, balance -> BigInt, } }
            diesel::table! { legs (id) { id -> Integer, unit -> Text, account -> Integer, amount -> BigInt, } }

            #[derive(Bind, Default)]
            #[bind(key = $key, connection = $connection)]
            pub struct $bind;

            bind_tables!($bind => accounts, legs);

            pub(crate) async fn run(session: &Session, unit: &str, leg: &Leg) -> Result<(), Error> {
                diesel::update(accounts::table.find(leg.account))
                    .set(accounts::balance.eq(accounts::balance + leg.amount))
                    .execute(session)
                    .await?;
                diesel::insert_into(legs::table)
                    .values((
                        legs::unit.eq(unit),
                        legs::account.eq(leg.account),
                        legs::amount.eq(leg.amount),
                    ))
                    .execute(session)
                    .await?;
                Ok(())
            }

            pub(crate) async fn opening(session: &Session) -> Result<String, Error> {
                let query = diesel::sql_query(OPENING);
                let row: Value = query.get_result(&session.on($bind).reading()).await?;
                Ok(row.value)
            }
        }
    };
}

bank!(postgres, Postgres, "postgres", AsyncPgConnection);
bank!(mariadb, Mariadb, "mariadb", AsyncMysqlConnection);
bank!(file, File, "file", AsyncSqliteConnection);

impl Leg {
    pub(crate) async fn run(&self, session: &Session, unit: &str) -> Result<(), Error> {
        match self.bank {
            0 => postgres::run(session, unit, self).await,
            1 => mariadb::run(session, unit, self).await,
            _ => file::run(session, unit, self).await,
        }
    }
}

/// Returns the balance of a bank without what was moved there.
pub(crate) async fn opening(session: &Session, bank: usize) -> Result<String, Error> {
    match bank {
        0 => postgres::opening(session).await,
        1 => mariadb::opening(session).await,
        _ => file::opening(session).await,
    }
}

/// Returns a pool that replaces its connections all the time.
fn source<C: FromUrl>(url: &str) -> Source<C> {
    let pool = PoolOptions::new()
        .max_size(MAX_SIZE)
        .min_idle(MIN_IDLE)
        .max_lifetime(Duration::from_secs(15))
        .keepalive(Duration::from_secs(2))
        .connect_timeout(Duration::from_secs(2))
        .checkout_timeout(Duration::from_secs(2));
    Source::url(url).pool_options(pool)
}

/// Returns the binds of the service.
pub(crate) fn binds(urls: &[String]) -> Binds {
    let recovery = RecoveryOptions::new()
        .interval(Duration::from_secs(3))
        .jitter(Duration::from_secs(1));
    let builder = Binds::builder()
        .namespace("day")
        .lock_timeout(Duration::from_secs(2))
        .step_timeout(Duration::from_secs(5))
        .resolve_timeout(Duration::from_secs(3))
        .recovery(recovery)
        .bind(postgres::Postgres, source(&urls[0]))
        .bind(mariadb::Mariadb, source(&urls[1]))
        .bind(file::File, source(&urls[2]));
    builder.build().expect("the binds are in order")
}

/// Returns the statements that create the accounts, for one kind of database. The key of `legs` counts up, so that later
/// rows have greater keys. A row says on which connection it was written.
pub(crate) fn schema(kind: &str) -> String {
    let (id, connection) = match kind {
        "postgres" => ("SERIAL PRIMARY KEY", "pg_backend_pid()"),
        "mysql" => ("INTEGER AUTO_INCREMENT PRIMARY KEY", "(CONNECTION_ID())"),
        _ => ("INTEGER PRIMARY KEY AUTOINCREMENT", "0"),
    };
    let rows: Vec<String> = (1..=ACCOUNTS)
        .map(|id| format!("({id}, {BALANCE})"))
        .collect();
    format!(
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL); \
         CREATE TABLE legs (id {id}, unit VARCHAR(36) NOT NULL, account INTEGER NOT NULL, \
         amount BIGINT NOT NULL, connection BIGINT NOT NULL DEFAULT {connection}); \
         INSERT INTO accounts (id, balance) VALUES {}",
        rows.join(", ")
    )
}
