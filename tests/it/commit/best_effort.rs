//! Commits that cannot be atomic and have to be requested by name: the result lists each bind.

use diesel_binds::error::Fault;
use diesel_binds::{BindOptions, Binds, CommitError, PoolOptions, SessionOptions, Source};
use kit::side::{Side, Sqlite, SqliteB};
use kit::world::World;

use crate::commit::pair::sqlite_with;

/// Two files whose foreign keys are on.
async fn files() -> World {
    let (first, second) = (Sqlite::database().await, SqliteB::database().await);
    for database in [&first, &second] {
        let deferred = "CREATE TABLE parents (id INTEGER PRIMARY KEY); \
             CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)";
        Sqlite::admin(database, deferred).await;
    }
    let establish = || sqlite_with("PRAGMA foreign_keys = ON");
    let (pooling, options) = (PoolOptions::new().max_size(1), BindOptions::new());
    let binds = Binds::builder()
        .bind(
            Sqlite,
            Source::url(first.url())
                .setup(establish())
                .pool_options(pooling.clone())
                .options(options.clone()),
        )
        .bind(
            SqliteB,
            Source::url(second.url())
                .setup(establish())
                .pool_options(pooling)
                .options(options),
        )
        .build()
        .unwrap();
    World {
        binds,
        databases: vec![first, second],
    }
}

const ORPHAN: &str = "INSERT INTO children VALUES (1)";

#[tokio::test]
async fn best_effort_commits_two_files_one_after_the_other() {
    let files = files().await;
    let mut session = files
        .binds
        .with(SessionOptions::new().best_effort())
        .session();
    Sqlite::write(&session, "kept").await.unwrap();
    SqliteB::write(&session, "kept").await.unwrap();
    let committed = session.commit_all_best_effort().await.unwrap();
    assert_eq!(committed.binds(), ["lite", "lite-b"]);
    assert_eq!(committed.gid(), None);
    assert_eq!(Sqlite::rows(&files.databases[0]).await, ["kept"]);
    assert_eq!(SqliteB::rows(&files.databases[1]).await, ["kept"]);
}

#[tokio::test]
async fn best_effort_tells_what_a_failure_half_way_left() {
    let files = files().await;
    let mut session = files
        .binds
        .with(SessionOptions::new().best_effort())
        .session();
    Sqlite::write(&session, "torn").await.unwrap();
    SqliteB::write(&session, "torn").await.unwrap();
    SqliteB::sql(&session, ORPHAN).await.unwrap();
    let error = session.commit_all_best_effort().await.unwrap_err();
    assert!(error.is_in_doubt() && !error.is_rolled_back());
    assert_eq!(error.bind(), Some("lite-b"));
    let CommitError::Partial(partial) = error else {
        panic!("{error:?}");
    };
    assert_eq!(partial.committed, ["lite"]);
    assert_eq!(partial.rolled_back, ["lite-b"]);
    assert!(partial.unknown.is_empty());
    assert!(
        matches!(partial.fault, Some(("lite-b", Fault::Refused(_)))),
        "{partial:?}"
    );
    assert_eq!(Sqlite::rows(&files.databases[0]).await, ["torn"]);
    assert!(SqliteB::rows(&files.databases[1]).await.is_empty());
    // Both connections are usable.
    SqliteB::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
}

#[tokio::test]
async fn best_effort_whose_first_commit_fails_keeps_nothing() {
    let files = files().await;
    let mut session = files
        .binds
        .with(SessionOptions::new().best_effort())
        .session();
    Sqlite::write(&session, "gone").await.unwrap();
    Sqlite::sql(&session, ORPHAN).await.unwrap();
    SqliteB::write(&session, "gone").await.unwrap();
    let error = session.commit_all_best_effort().await.unwrap_err();
    assert!(
        matches!(
            &error,
            CommitError::RolledBack {
                bind: "lite",
                source: Fault::Refused(_),
                ..
            }
        ),
        "{error:?}"
    );
    assert!(Sqlite::rows(&files.databases[0]).await.is_empty());
    assert!(SqliteB::rows(&files.databases[1]).await.is_empty());
}

/// The option lets both write. Only the best-effort commit may tear them.
#[tokio::test]
async fn commit_all_never_tears_what_best_effort_let_write() {
    let files = files().await;
    let mut session = files
        .binds
        .with(SessionOptions::new().best_effort())
        .session();
    Sqlite::write(&session, "gone").await.unwrap();
    SqliteB::write(&session, "gone").await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    assert!(
        matches!(
            &error,
            CommitError::NotAtomic {
                first: "lite",
                second: "lite-b",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.is_rolled_back());
    assert!(Sqlite::rows(&files.databases[0]).await.is_empty());
    assert!(SqliteB::rows(&files.databases[1]).await.is_empty());
}
