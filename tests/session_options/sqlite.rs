//! What a unit sets on a connection of SQLite for its own time is gone afterwards.

use std::time::Duration;

use diesel::prelude::*;
use diesel_async::SimpleAsyncConnection as _;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_binds::{AsyncSqliteConnection, Binds, SessionOptions};

use crate::suite::side::{Side, Sqlite};

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

/// The settings of the only connection of a pool.
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
    let binds = Binds::builder()
        .bind::<Sqlite>(pool.clone())
        .build()
        .unwrap();
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
                let mut session = binds.session_with(options.clone());
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

/// The file waits for locks as long as its connection says, but not beyond the deadline.
#[tokio::test]
async fn a_unit_waits_for_locks_until_its_deadline_at_most() {
    let database = Sqlite::database().await;
    // Its connections wait for 5 seconds.
    let binds = Binds::builder()
        .bind_url::<Sqlite>(database.url())
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
        let session = binds.session_with(options);
        let query = diesel::sql_query("PRAGMA busy_timeout");
        let found = diesel_binds::RunQueryDsl::get_result(query, &session.on(Sqlite)).await;
        let BusyTimeout { timeout } = found.unwrap();
        assert!(expected.contains(&timeout), "{timeout}");
    }
}
