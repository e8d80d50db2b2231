//! PostgreSQL, MariaDB and SQLite in one unit of work: an order that is kept in all three, and one that is kept in none.
//!
//! ```sh
//! cargo run --example two_phase --features postgres,mysql,sqlite-bundled,deadpool
//! ```
//!
//! Starts private servers, as the tests do, and leaves them running: `cargo xtask servers stop` ends them.

use std::error::Error as StdError;
use std::path::Path;
use std::process::Command;

use diesel::prelude::*;
use diesel_async::{AsyncConnection, AsyncMysqlConnection, AsyncPgConnection};
use diesel_binds::{
    AsyncSqliteConnection, Bind, Binds, CommitError, Error, RunQueryDsl, Session, Source,
    bind_tables,
};

diesel::table! {
    orders (id) {
        id -> Integer,
        article -> Text,
        pieces -> Integer,
    }
}

diesel::table! {
    stock (article) {
        article -> Text,
        pieces -> Integer,
    }
}

diesel::table! {
    journal (id) {
        id -> Integer,
        line -> Text,
    }
}

#[derive(Bind)]
#[bind(key = "orders", connection = AsyncPgConnection)]
pub struct Orders;

#[derive(Bind)]
#[bind(key = "warehouse", connection = AsyncMysqlConnection)]
pub struct Warehouse;

#[derive(Bind)]
#[bind(key = "journal", connection = AsyncSqliteConnection)]
pub struct Journal;

bind_tables!(Orders => orders; Warehouse => stock; Journal => journal);

/// Writes to three databases, and knows of none.
async fn order(session: &Session, article: &str, pieces: i32) -> Result<(), Error> {
    diesel::insert_into(orders::table)
        .values((orders::article.eq(article), orders::pieces.eq(pieces)))
        .execute(session)
        .await?;
    diesel::update(stock::table.find(article))
        .set(stock::pieces.eq(stock::pieces - pieces))
        .execute(session)
        .await?;
    diesel::insert_into(journal::table)
        .values(journal::line.eq(format!("{pieces} of {article}")))
        .execute(session)
        .await?;
    Ok(())
}

async fn show(binds: &Binds) -> Result<(), Error> {
    let session = binds.session();
    let (ordered, left, lines) = tokio::join!(
        orders::table.count().get_result::<i64>(&session),
        stock::table
            .find("teapot")
            .select(stock::pieces)
            .first::<i32>(&session),
        journal::table.count().get_result::<i64>(&session),
    );
    println!("    PostgreSQL  orders   {}", ordered?);
    println!("    MariaDB     teapots  {}", left?);
    println!("    SQLite      lines    {}", lines?);
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn StdError>> {
    let folder = tempfile::tempdir()?;
    let urls = Urls::prepare(folder.path()).await?;
    let binds = Binds::builder()
        .namespace("two-phase-example")
        .bind(Orders, Source::url(&urls.orders))
        .bind(Warehouse, Source::url(&urls.warehouse))
        .bind(Journal, Source::url(&urls.journal))
        .build()?;
    binds.install().await?;
    println!("{}", binds.check().await);

    println!("before:");
    show(&binds).await?;

    println!("\n3 teapots are ordered:");
    let mut session = binds.session();
    order(&session, "teapot", 3).await?;
    let commit = session.commit_all().await?;
    println!("  committed on {:?}", commit.binds());
    if let Some(gid) = commit.gid() {
        println!("  as {gid}");
    }
    show(&binds).await?;

    println!("\n90 teapots are ordered, which the warehouse refuses:");
    let ordered = order(&session, "teapot", 90).await;
    if let Err(error) = ordered {
        println!("  {error}: {}", reason(&error));
    }
    session.rollback_all().await?;
    show(&binds).await?;

    println!("\n2 teapots are ordered, an SQL error is swallowed, and all is committed:");
    order(&session, "teapot", 2).await?;
    let swallowed = diesel::sql_query("SELECT 1 / 0")
        .execute(&session.on(Orders))
        .await;
    assert!(swallowed.is_err());
    // PostgreSQL would answer this COMMIT with success, and keep nothing.
    match session.commit_all().await {
        Err(error @ CommitError::RolledBack { .. }) => println!("  {error}: {}", reason(&error)),
        other => return Err(format!("expected a roll-back, got {other:?}").into()),
    }
    show(&binds).await?;

    binds.close().await;
    Ok(())
}

/// The innermost cause of an error.
fn reason(error: &dyn StdError) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// Where the databases are.
struct Urls {
    orders: String,
    warehouse: String,
    journal: String,
}

impl Urls {
    /// Starts the servers, and makes tables: an application has migrations for this.
    async fn prepare(folder: &Path) -> Result<Self, Box<dyn StdError>> {
        let xtask = |task: &str| {
            Command::new(env!("CARGO"))
                .args(["xtask", "servers", task])
                .current_dir(env!("CARGO_MANIFEST_DIR"))
                .output()
        };
        println!("starting PostgreSQL and MariaDB …\n");
        let started = xtask("start")?;
        if !started.status.success() {
            return Err(String::from_utf8_lossy(&started.stderr).into());
        }
        let environment = String::from_utf8(xtask("env")?.stdout)?;
        let url = |server: &str| {
            environment
                .lines()
                .find_map(|line| line.split_once(&format!("{server}=")))
                .map(|(_, url)| url.trim_matches('\'').to_owned())
                .ok_or_else(|| format!("no server {server}"))
        };
        let urls = Self {
            orders: url("POSTGRES_A")?,
            warehouse: url("MARIADB_A")?.replace("/mysql", "/two_phase_example"),
            journal: folder.join("journal.db").display().to_string(),
        };
        execute::<AsyncMysqlConnection>(
            &url("MARIADB_A")?,
            "CREATE OR REPLACE DATABASE two_phase_example",
        )
        .await?;
        execute::<AsyncMysqlConnection>(
            &urls.warehouse,
            "CREATE TABLE stock (article VARCHAR(20) PRIMARY KEY, pieces INTEGER NOT NULL CHECK (pieces >= 0)); \
             INSERT INTO stock VALUES ('teapot', 50)",
        )
        .await?;
        execute::<AsyncPgConnection>(
            &urls.orders,
            "DROP TABLE IF EXISTS orders; \
             CREATE TABLE orders (id SERIAL PRIMARY KEY, article TEXT NOT NULL, pieces INTEGER NOT NULL)",
        )
        .await?;
        execute::<AsyncSqliteConnection>(
            &urls.journal,
            "CREATE TABLE journal (id INTEGER PRIMARY KEY, line TEXT NOT NULL)",
        )
        .await?;
        Ok(urls)
    }
}

async fn execute<C: AsyncConnection>(url: &str, sql: &str) -> Result<(), Box<dyn StdError>> {
    Ok(C::establish(url).await?.batch_execute(sql).await?)
}
