//! Five databases with accounts, and one unit that moves money between some of them.

use diesel::prelude::*;
use diesel_async::{AsyncMysqlConnection, AsyncPgConnection};
use diesel_binds::build::FromUrl;
use diesel_binds::{
    AsyncSqliteConnection, Bind, Binds, BindsBuilder, Error, PoolOptions, RunQueryDsl, Session,
    Source, bind_tables,
};
use kit::admin::Admin;
use std::time::Duration;

/// The keys of the binds, in the order of their URLs.
pub(crate) const KEYS: [&str; 5] = ["pg-a", "pg-b", "my-a", "my-b", "lite"];

/// The place of the file among them.
pub(crate) const FILE: usize = 4;

/// The place of the first database of MariaDB, or what is in its place.
pub(crate) const SHARED: usize = 2;

/// The number of accounts in each database, and the initial balance of each.
pub(crate) const ACCOUNTS: i32 = 200;
pub(crate) const BALANCE: i64 = 1000;

/// One leg of a unit: a transfer in one database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leg {
    /// The place of the database in [`KEYS`].
    pub(crate) bank: usize,
    pub(crate) account: i32,
    pub(crate) amount: i64,
    /// The number of legs of the unit.
    pub(crate) of: i32,
}

/// Defines a bind with its tables. A generic cannot define types, and each bind needs table types of its own.
macro_rules! bank {
    ($module:ident, $bind:ident, $key:literal, $connection:ty) => {
        mod $module {
            use super::*;

            diesel::table! { accounts (id) { id -> Integer, balance -> BigInt, } }
            diesel::table! { legs (id) { id -> Integer, unit -> Text, parts -> Integer, amount -> BigInt, } }

            #[derive(Bind, Default)]
            #[bind(key = $key, connection = $connection)]
            pub struct $bind;

            bind_tables!($bind => accounts, legs);

            pub(crate) async fn run(session: &Session, leg: Leg) -> Result<(), Error> {
                diesel::update(accounts::table.find(leg.account))
                    .set(accounts::balance.eq(accounts::balance + leg.amount))
                    .execute(session)
                    .await?;
                diesel::insert_into(legs::table)
                    .values((
                        legs::unit.eq(session.unit().to_string()),
                        legs::parts.eq(leg.of),
                        legs::amount.eq(leg.amount),
                    ))
                    .execute(session)
                    .await?;
                Ok(())
            }
        }
    };
}

bank!(pg_a, PgA, "pg-a", AsyncPgConnection);
bank!(pg_b, PgB, "pg-b", AsyncPgConnection);
bank!(my_a, MyA, "my-a", AsyncMysqlConnection);
bank!(my_b, MyB, "my-b", AsyncMysqlConnection);
bank!(lite, Lite, "lite", AsyncSqliteConnection);

impl Leg {
    pub(crate) async fn run(self, session: &Session) -> Result<(), Error> {
        match self.bank {
            0 => pg_a::run(session, self).await,
            1 => pg_b::run(session, self).await,
            2 => my_a::run(session, self).await,
            3 => my_b::run(session, self).await,
            _ => lite::run(session, self).await,
        }
    }
}

/// Returns the binds of one host.
pub(crate) fn binds(namespace: &str, urls: &[String]) -> Binds {
    let builder = Binds::builder()
        .namespace(namespace)
        .lock_timeout(Duration::from_secs(2))
        // A killed server is back within seconds.
        .step_timeout(Duration::from_secs(10));
    let builder = add::<pg_a::PgA>(builder, &urls[0]);
    let builder = add::<pg_b::PgB>(builder, &urls[1]);
    let builder = add::<my_a::MyA>(builder, &urls[2]);
    let builder = add::<my_b::MyB>(builder, &urls[3]);
    let builder = add::<lite::Lite>(builder, &urls[FILE]);
    builder.build().expect("the binds are in order")
}

fn add<B: Bind<Connection: FromUrl> + Default>(builder: BindsBuilder, url: &str) -> BindsBuilder {
    builder.bind(
        B::default(),
        Source::url(url).pool_options(
            PoolOptions::default()
                .max_size(8)
                .checkout_timeout(Duration::from_secs(2)),
        ),
    )
}

/// Creates the accounts of one database.
pub(crate) async fn open(url: &str) {
    let id = if url.starts_with("postgres") {
        "SERIAL PRIMARY KEY"
    } else if url.starts_with("mysql") {
        "INTEGER AUTO_INCREMENT PRIMARY KEY"
    } else {
        "INTEGER PRIMARY KEY AUTOINCREMENT"
    };
    let rows: Vec<String> = (1..=ACCOUNTS)
        .map(|id| format!("({id}, {BALANCE})"))
        .collect();
    let statements = format!(
        "CREATE TABLE accounts (id INTEGER PRIMARY KEY, balance BIGINT NOT NULL); \
         CREATE TABLE legs (id {id}, unit VARCHAR(36) NOT NULL, parts INTEGER NOT NULL, amount BIGINT NOT NULL); \
         INSERT INTO accounts (id, balance) VALUES {}",
        rows.join(", ")
    );
    let mut admin = Admin::connect(url).await;
    admin
        .run(&statements)
        .await
        .expect("the tables can be made");
}
