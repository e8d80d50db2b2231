//! What the commit protocol relies on, asked of the servers and pools themselves, without this library.

mod mariadb;
mod pools;
mod postgres;
mod replication;
mod sqlite;

/// A name that no other test uses on the server: prepared transactions of all databases share one space.
fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("fact_{name}_{}_{number}", std::process::id())
}

/// What went wrong, as the server said it.
#[track_caller]
fn refused<T: std::fmt::Debug>(result: diesel::QueryResult<T>, words: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(words), "`{error}` does not say `{words}`");
}
