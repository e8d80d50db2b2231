//! The work of the workers: queries and units on one SQLite file and one PostgreSQL database.

use std::env;
use std::io::Write as _;
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_async::{AsyncConnection, AsyncPgConnection};
use diesel_binds::{AsyncSqliteConnection, Bind, Binds, RunQueryDsl, Session, bind_tables};

#[derive(Bind)]
#[bind(key = "server", connection = AsyncPgConnection)]
pub struct Server;

#[derive(Bind)]
#[bind(key = "file", connection = AsyncSqliteConnection)]
pub struct File;

pub mod server {
    diesel::table! { trace_cost (id) { id -> Integer, text -> Text, } }
}

pub mod file {
    diesel::table! { trace_cost (id) { id -> Integer, text -> Text, } }
}

bind_tables!(Server => server::trace_cost);
bind_tables!(File => file::trace_cost);

const TABLE: &str = "DROP TABLE IF EXISTS trace_cost; \
     CREATE TABLE trace_cost (id INTEGER PRIMARY KEY, text TEXT NOT NULL); \
     INSERT INTO trace_cost VALUES (1, 'old')";

/// Returns the URL of a database, which `cargo xtask trace-cost` passes in this variable.
fn url(variable: &str) -> String {
    env::var(variable).unwrap_or_else(|_| panic!("{variable} says where the database is"))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built")
}

async fn run<C: AsyncConnection>(url: &str, sql: &str) {
    let connected = C::establish(url).await;
    let mut connection = connected.unwrap_or_else(|error| panic!("no connection: {error}"));
    connection.batch_execute(sql).await.expect("plain SQL");
}

/// Creates the tables of the workers.
pub(crate) fn prepare() {
    runtime().block_on(async {
        run::<AsyncPgConnection>(&url("TRACE_COST_POSTGRES"), TABLE).await;
        let wal = format!("PRAGMA journal_mode = WAL; {TABLE}");
        run::<AsyncSqliteConnection>(&url("TRACE_COST_SQLITE"), &wal).await;
    });
}

/// Drops the table on the server. The file is in a temporary folder.
pub(crate) fn clean_up() {
    let drop_table = "DROP TABLE trace_cost";
    runtime().block_on(run::<AsyncPgConnection>(
        &url("TRACE_COST_POSTGRES"),
        drop_table,
    ));
}

/// Carries out orders of the form `sqlite query 100` until the input ends.
pub(crate) fn work() {
    runtime().block_on(async {
        let server = AsyncDieselConnectionManager::new(url("TRACE_COST_POSTGRES"));
        let server = Pool::builder(server).max_size(1).build();
        let file = AsyncDieselConnectionManager::new(url("TRACE_COST_SQLITE"));
        let file = Pool::builder(file).max_size(1).build();
        let server = Binds::builder().bind(Server, server.expect("nothing is missing"));
        let file = Binds::builder().bind(File, file.expect("nothing is missing"));
        let server = server.build().expect("one bind needs no namespace");
        let file = file.build().expect("one bind needs no namespace");
        for order in std::io::stdin().lines() {
            let order = order.expect("orders are text");
            let words: Vec<&str> = order.split(' ').collect();
            let [place, what, runs] = words[..] else {
                panic!("`{order}` is no order");
            };
            let runs = runs.parse().expect("a number of runs");
            let took = match (place, what) {
                ("sqlite", "query") => queries(&file, runs, read_file).await,
                ("sqlite", "unit") => units(&file, runs, read_file, write_file).await,
                ("postgres", "query") => queries(&server, runs, read_server).await,
                _ => units(&server, runs, read_server, write_server).await,
            };
            let mut out = std::io::stdout();
            writeln!(out, "{}", took.as_nanos()).expect("somebody reads");
            out.flush().expect("somebody reads");
        }
    });
}

async fn queries(binds: &Binds, runs: u32, read: impl AsyncFn(&Session)) -> Duration {
    let mut session = binds.session();
    read(&session).await;
    let begin = Instant::now();
    for _ in 0..runs {
        read(&session).await;
    }
    let took = begin.elapsed();
    session.rollback_all().await.expect("nothing failed");
    took
}

async fn units(
    binds: &Binds,
    runs: u32,
    read: impl AsyncFn(&Session),
    write: impl AsyncFn(&Session),
) -> Duration {
    let begin = Instant::now();
    for _ in 0..runs {
        let mut session = binds.session();
        read(&session).await;
        write(&session).await;
        session.commit_all().await.expect("nothing failed");
    }
    begin.elapsed()
}

async fn read_server(session: &Session) {
    let row = server::trace_cost::table.find(1).first(session).await;
    let (_, _): (i32, String) = row.expect("the row is there");
}

async fn read_file(session: &Session) {
    let row = file::trace_cost::table.find(1).first(session).await;
    let (_, _): (i32, String) = row.expect("the row is there");
}

async fn write_server(session: &Session) {
    let row = diesel::update(server::trace_cost::table.find(1));
    let written = row.set(server::trace_cost::text.eq("new")).execute(session);
    written.await.expect("the row is there");
}

async fn write_file(session: &Session) {
    let row = diesel::update(file::trace_cost::table.find(1));
    let written = row.set(file::trace_cost::text.eq("new")).execute(session);
    written.await.expect("the row is there");
}
