//! Facts that the commit protocol relies on, verified on the servers and pools themselves, without this library.

mod mariadb;
mod pools;
mod postgres;
mod replication;
mod sqlite;

use kit::admin::Admin;
use kit::database::Database;
use kit::servers::Server;

/// Creates a database with one table.
async fn database_with(server: Server, table: &str) -> (Database, Admin) {
    let database = Database::on(server).await;
    let mut admin = Admin::connect(database.url()).await;
    admin.run(table).await.unwrap();
    (database, admin)
}

/// Returns a name that no other test uses on the server: prepared transactions of all databases share one namespace.
fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("fact_{name}_{}_{number}", std::process::id())
}

/// Asserts that the server refused with these words.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: diesel::QueryResult<T>, words: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(words), "`{error}` does not say `{words}`");
}
