//! Settings that a unit changes on a connection of SQLite are restored afterwards.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::SimpleAsyncConnection as _;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_binds::error::Fault;
use diesel_binds::{
    AsyncSqliteConnection, BindOptions, Binds, CommitError, Error, Session, SessionOptions, Source,
};
use kit::side::{PoolKind, Side, Sqlite};

use crate::connections::pool::{OfSqlite, Shared as _};

#[derive(QueryableByName)]
struct BusyTimeout {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    timeout: i64,
}

#[derive(QueryableByName)]
struct QueryOnly {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    query_only: i64,
}

/// Returns the settings of the only connection of a pool.
async fn settings(pool: &Pool<AsyncSqliteConnection>) -> (i64, i64) {
    let mut connection = pool.get().await.unwrap();
    let query = diesel::sql_query("PRAGMA busy_timeout");
    let busy: QueryResult<BusyTimeout> =
        diesel_async::RunQueryDsl::get_result(query, &mut connection).await;
    let query = diesel::sql_query("PRAGMA query_only");
    let only: QueryResult<QueryOnly> =
        diesel_async::RunQueryDsl::get_result(query, &mut connection).await;
    (busy.unwrap().timeout, only.unwrap().query_only)
}

#[tokio::test]
async fn a_unit_leaves_no_setting_on_its_connection() {
    let database = Sqlite::database().await;
    let pool = Pool::builder(AsyncDieselConnectionManager::new(database.url()))
        .max_size(1)
        .build()
        .unwrap();
    let binds = Binds::builder().bind(Sqlite, pool.clone()).build().unwrap();
    for before in [0, 1234, 100_000] {
        let set = format!("PRAGMA busy_timeout = {before}");
        let mut connection = pool.get().await.unwrap();
        connection.batch_execute(&set).await.unwrap();
        drop(connection);
        for options in [
            SessionOptions::new(),
            SessionOptions::new().read_only(),
            SessionOptions::new().deadline(Duration::from_secs(20)),
        ] {
            for ending in ["committed", "rolled back", "dropped"] {
                let mut session = binds.with(options.clone()).session();
                Sqlite::read(&session).await.unwrap();
                match ending {
                    "committed" => drop(session.commit_all().await.unwrap()),
                    "rolled back" => session.rollback_all().await.unwrap(),
                    _ => drop(session),
                }
                assert_eq!(settings(&pool).await, (before, 0), "{options:?}, {ending}");
            }
        }
    }
}

/// With less, a loss of power may undo a commit that other databases rely on.
#[tokio::test]
async fn a_unit_that_may_record_a_decision_stores_the_end_of_its_journal() {
    let database = Sqlite::database().await;
    let alone = BindOptions::new();
    let recording = BindOptions::new().record_every_commit().allow_not_durable();
    for (options, before, within) in [
        (&alone, "FULL", "FULL"),
        (&recording, "NORMAL", "NORMAL"),
        (&recording, "FULL", "EXTRA"),
        (&recording, "EXTRA", "EXTRA"),
    ] {
        let setup = format!("PRAGMA synchronous = {before}");
        let pool = OfSqlite::open(database.url(), PoolKind::Deadpool, 1, &setup);
        let builder = Binds::builder().namespace("journal");
        let binds = pool
            .register::<Sqlite>(builder, options.clone())
            .build()
            .unwrap();
        for commits in [true, false] {
            let mut session = binds.session();
            Sqlite::write(&session, &format!("{before} {within} {commits}"))
                .await
                .unwrap();
            let found = Sqlite::text(&session, &synchronous("text")).await.unwrap();
            assert_eq!(found, within, "{before}");
            match commits {
                true => drop(session.commit_all().await.unwrap()),
                false => session.rollback_all().await.unwrap(),
            }
            let query = synchronous("value");
            let all = pool.ask_all(database.url(), &setup, 1, &[&query]).await;
            assert_eq!(all.0, [[before]], "{commits}");
        }
    }
}

/// Returns the query for the name of the setting `synchronous`.
fn synchronous(column: &str) -> String {
    format!(
        "SELECT CASE synchronous WHEN 1 THEN 'NORMAL' WHEN 2 THEN 'FULL' WHEN 3 THEN 'EXTRA' END AS {column} \
         FROM pragma_synchronous"
    )
}

/// A unit waits for locks up to the busy timeout of its connection, but not beyond its deadline.
#[tokio::test]
async fn a_unit_waits_for_locks_until_its_deadline_at_most() {
    let database = Sqlite::database().await;
    // The connections have a busy timeout of 5 seconds.
    let binds = Binds::builder()
        .bind(Sqlite, Source::url(database.url()))
        .build()
        .unwrap();
    for (options, expected) in [
        (SessionOptions::new(), 5000..=5000),
        (
            SessionOptions::new().deadline(Duration::from_secs(60)),
            5000..=5000,
        ),
        (
            SessionOptions::new().deadline(Duration::from_secs(3)),
            1..=3100,
        ),
    ] {
        let session = binds.with(options).session();
        let query = diesel::sql_query("PRAGMA busy_timeout");
        let found = diesel_binds::RunQueryDsl::get_result(query, &session.on(Sqlite)).await;
        let BusyTimeout { timeout } = found.unwrap();
        assert!(expected.contains(&timeout), "{timeout}");
    }
}

/// SQLite reports no error, and the unit would go on without its foreign keys.
#[tokio::test]
async fn foreign_keys_that_are_set_within_a_unit_are_an_error() {
    for set in [
        "PRAGMA foreign_keys = ON",
        "PRAGMA cache_size = 77; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY",
    ] {
        foreign_keys_are_an_error(set).await;
    }
}

async fn foreign_keys_are_an_error(set: &'static str) {
    let database = Sqlite::database().await;
    let pool = || {
        Pool::builder(AsyncDieselConnectionManager::new(database.url()))
            .max_size(1)
            .build()
            .unwrap()
    };
    let binds = Binds::builder().bind(Sqlite, pool()).build().unwrap();
    let mut session = binds.session();
    Sqlite::write(&session, "one").await.unwrap();
    let refused = Sqlite::sql(&session, set).await;
    assert!(
        matches!(refused, Err(Error::WithoutEffect { bind: "lite" })),
        "{refused:?}"
    );
    // The application has received the error, and the unit goes on.
    Sqlite::sql(&session, "PRAGMA defer_foreign_keys = ON")
        .await
        .unwrap();
    Sqlite::sql(&session, "PRAGMA foreign_keys").await.unwrap();
    session.commit_all().await.unwrap();

    let raw = async |session: &Session| {
        let mut connection = session.connection(Sqlite).await.unwrap();
        connection.raw().unwrap().batch_execute(set).await.unwrap();
    };
    Sqlite::write(&session, "two").await.unwrap();
    raw(&session).await;
    let refused = Sqlite::read(&session).await;
    assert!(
        matches!(refused, Err(Error::WithoutEffect { .. })),
        "{refused:?}"
    );
    assert_eq!(Sqlite::read(&session).await.unwrap(), ["one", "two"]);
    session.commit_all().await.unwrap();

    Sqlite::write(&session, "three").await.unwrap();
    raw(&session).await;
    let refused = session.commit_all().await;
    assert!(
        matches!(
            refused,
            Err(CommitError::RolledBack {
                source: Fault::WithoutEffect,
                ..
            })
        ),
        "{refused:?}"
    );
    session.rollback_all().await.unwrap();
    drop(session);

    let hooked = Binds::builder()
        .bind(Sqlite, pool())
        .after_begin(Sqlite, move |connection| {
            Box::pin(connection.batch_execute(set))
        })
        .build()
        .unwrap();
    let mut session = hooked.session();
    for expected in ["WithoutEffect", "AbortOnly"] {
        let refused = Sqlite::write(&session, "four").await.unwrap_err();
        let said = match refused {
            Error::WithoutEffect { .. } => "WithoutEffect",
            Error::AbortOnly { .. } => "AbortOnly",
            other => panic!("{other:?}"),
        };
        assert_eq!(said, expected);
    }
    session.rollback_all().await.unwrap();
    assert_eq!(Sqlite::rows(&database).await, ["one", "two"]);
}
