//! Several processes start at once on an empty database: all start, and each migration runs once.

use std::env;
use std::process::Stdio;

use diesel_binds::Bind;
use diesel_binds::build::FromUrl;
use diesel_binds::migrations::Migratable;
use futures_util::future::join_all;
use kit::database::Database;
use kit::servers::Server;
use kit::source::Steps;
use tokio::process::Command;

use crate::migrations::binds::{Accounts, Cache, Ledger};
use crate::migrations::database::{LATER, USERS, two};
use crate::migrations::world::{on, values, versions};

const URL: &str = "DIESEL_BINDS_MIGRATE";

/// Returns migrations with a table that counts the runs, so that a second run is visible even if it does not fail.
fn steps() -> Steps {
    let count =
        "CREATE TABLE IF NOT EXISTS runs (id VARCHAR(10)); INSERT INTO runs VALUES ('once')";
    two().bare(LATER, count, "DROP TABLE runs")
}

async fn migrate<B: Bind<Connection: FromUrl + Migratable> + Default>(url: &str) {
    on::<B>(url, steps()).migrations().run().await.unwrap();
}

/// The work of each process. Without the variable, the test runs as a single process.
#[tokio::test]
async fn a_process_comes_up() {
    match env::var(URL) {
        Ok(url) if url.starts_with("postgres") => migrate::<Accounts>(&url).await,
        Ok(url) if url.starts_with("mysql") => migrate::<Ledger>(&url).await,
        Ok(url) => migrate::<Cache>(&url).await,
        Err(_) => migrate::<Cache>(Database::sqlite().url()).await,
    }
}

async fn start_at_once(database: &Database) {
    let program = env::current_exe().unwrap();
    let processes = join_all((0..4).map(|_| {
        Command::new(&program)
            .args(["--exact", "migrations::processes::a_process_comes_up"])
            .env(URL, database.url())
            .stdin(Stdio::null())
            .output()
    }));
    for output in processes.await {
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
    }
    assert_eq!(versions(database.url()).await.len(), 3);
    assert_eq!(
        values(database.url(), "SELECT id AS value FROM runs").await,
        ["once"]
    );
}

#[tokio::test]
async fn processes_that_start_at_once_all_come_up_on_postgres() {
    start_at_once(&Database::on(Server::PostgresA).await).await;
}

#[tokio::test]
async fn processes_that_start_at_once_all_come_up_on_mariadb() {
    start_at_once(&Database::on(Server::MariadbA).await).await;
}

#[tokio::test]
async fn processes_that_start_at_once_all_come_up_on_sqlite() {
    start_at_once(&Database::sqlite()).await;
}

/// `#[tokio::test]` has a current-thread runtime; this test has the other kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_multi_thread_runtime_migrates_as_well() {
    let database = Database::on(Server::PostgresA).await;
    let binds = on::<Accounts>(database.url(), Steps::new().table(USERS, "users"));
    let handle = tokio::spawn(async move { binds.migrations().run().await });
    assert_eq!(handle.await.unwrap().unwrap().done.len(), 1);
}
