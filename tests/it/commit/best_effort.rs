//! Commits that cannot be atomic, and that the options of the session have to allow: the result lists each bind.

use diesel_binds::error::Fault;
use diesel_binds::{BindOptions, Binds, CommitError, Error, PoolOptions, SessionOptions, Source};
use kit::side::{PoolKind, PostgresA, PostgresB, Side, Sqlite, SqliteB};
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
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.binds(), ["lite", "lite-b"]);
    assert_eq!(committed.gid(), None);
    drop(session);
    let (_, commit) = files
        .binds
        .with(SessionOptions::new().best_effort())
        .transaction_with_commit::<_, Error, _>(async |session| {
            Sqlite::write(session, "closure").await?;
            SqliteB::write(session, "closure").await
        })
        .await
        .unwrap();
    assert_eq!(commit.committed().unwrap().binds(), ["lite", "lite-b"]);
    assert_eq!(Sqlite::rows(&files.databases[0]).await, ["kept", "closure"]);
    assert_eq!(
        SqliteB::rows(&files.databases[1]).await,
        ["kept", "closure"]
    );
}

#[tokio::test]
async fn a_failed_best_effort_commit_lists_committed_and_rolled_back_binds() {
    let files = files().await;
    let mut session = files
        .binds
        .with(SessionOptions::new().best_effort())
        .session();
    Sqlite::write(&session, "torn").await.unwrap();
    SqliteB::write(&session, "torn").await.unwrap();
    SqliteB::sql(&session, ORPHAN).await.unwrap();
    let error = session.commit_all().await.unwrap_err();
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
    let error = session.commit_all().await.unwrap_err();
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

/// Without the option, the second writer is refused before its statement runs.
#[tokio::test]
async fn two_files_are_never_torn_unless_the_session_allows_it() {
    let files = files().await;
    let mut session = files.binds.session();
    Sqlite::write(&session, "kept").await.unwrap();
    let refused = SqliteB::write(&session, "gone").await;
    assert!(
        matches!(
            refused,
            Err(Error::NotAtomic {
                first: "lite",
                second: "lite-b",
                ..
            })
        ),
        "{refused:?}"
    );
    session.commit_all().await.unwrap();
    assert_eq!(Sqlite::rows(&files.databases[0]).await, ["kept"]);
    assert!(SqliteB::rows(&files.databases[1]).await.is_empty());
}

/// Writers that can commit atomically do, whatever the session allows.
#[tokio::test]
async fn best_effort_tears_nothing_that_can_commit_atomically() {
    let world = World::of::<(Sqlite, PostgresA)>(PoolKind::Deadpool).await;
    let deferred = "CREATE TABLE parents (id INTEGER PRIMARY KEY); \
         CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)";
    PostgresA::admin(&world.databases[1], deferred).await;
    let mut session = world
        .binds
        .with(SessionOptions::new().best_effort())
        .session();
    Sqlite::write(&session, "kept").await.unwrap();
    PostgresA::write(&session, "kept").await.unwrap();
    let commit = session.commit_all().await.unwrap();
    assert!(commit.gid().is_some(), "{commit:?}");
    Sqlite::write(&session, "gone").await.unwrap();
    PostgresA::write(&session, "gone").await.unwrap();
    PostgresA::sql(&session, ORPHAN).await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    assert!(error.is_rolled_back(), "{error:?}");
    assert_eq!(Sqlite::rows(&world.databases[0]).await, ["kept"]);
    assert_eq!(PostgresA::rows(&world.databases[1]).await, ["kept"]);
}

/// The unit is rolled back if only its commit finds the second writer.
#[tokio::test]
async fn best_effort_never_tears_writes_that_only_the_commit_finds() {
    let world = World::builder::<(PostgresA, PostgresB)>()
        .options(&BindOptions::new().never_prepare())
        .build()
        .await;
    let mut session = world
        .binds
        .with(SessionOptions::new().best_effort())
        .session();
    let insert = "INSERT INTO notes (text) VALUES ('gone')";
    PostgresA::write(&session, "gone").await.unwrap();
    PostgresB::read_sql(&session, insert).await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    assert!(
        matches!(
            &error,
            CommitError::NotAtomic {
                first: "pg-a",
                second: "pg-b",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.is_rolled_back());
    assert!(PostgresA::rows(&world.databases[0]).await.is_empty());
    assert!(PostgresB::rows(&world.databases[1]).await.is_empty());
}
