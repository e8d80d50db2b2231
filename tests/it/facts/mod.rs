//! Facts that the commit protocol relies on, verified on the servers and pools themselves, without this library.

mod mariadb;
mod pools;
mod postgres;
mod replication;
mod sqlite;

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
