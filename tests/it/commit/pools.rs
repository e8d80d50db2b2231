//! Pools that give no connection: an error names the bind, and the unit does not commit without the failed statement.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_binds::error::{AbortReason, Fault, PoolError};
use diesel_binds::{BindOptions, Binds, CommitError, Error, Session};
use kit::database::Database;
use kit::side::{PoolKind, PostgresA, Side, Sqlite};

/// Asserts that a unit whose statement on `pg-a` could not begin is refused and rolled back.
async fn assert_refused(session: &mut Session) {
    let further = Sqlite::write(session, "further").await;
    assert!(
        matches!(
            further,
            Err(Error::AbortOnly {
                bind: "pg-a",
                reason: AbortReason::NotBegun
            })
        ),
        "{further:?}"
    );
    let refused = session.commit_all().await;
    assert!(
        matches!(
            refused,
            Err(CommitError::RolledBack {
                bind: "pg-a",
                source: Fault::NotBegun,
                ..
            })
        ),
        "{refused:?}"
    );
}

async fn a_pool_that_is_exhausted_fails_the_unit(pool: PoolKind) {
    let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
    let builder = Binds::builder()
        .namespace("pools")
        .checkout_timeout(Duration::from_millis(200));
    let options = BindOptions::new();
    let builder = PostgresA::register(builder, postgres.url(), pool, 1, options.clone()).await;
    let builder = Sqlite::register(builder, sqlite.url(), pool, 1, options).await;
    let binds = builder.build().unwrap();

    let mut holding = binds.session();
    PostgresA::write(&holding, "first").await.unwrap();
    let mut waiting = binds.session();
    Sqlite::write(&waiting, "second").await.unwrap();
    let error = PostgresA::write(&waiting, "second").await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Pool {
                bind: "pg-a",
                source: PoolError::TimedOut(_)
            }
        ),
        "{error:?}"
    );
    holding.commit_all().await.unwrap();
    // Otherwise the rest of the unit would be committed without the statement.
    assert_refused(&mut waiting).await;
    assert!(Sqlite::rows(&sqlite).await.is_empty());
    Sqlite::write(&waiting, "second").await.unwrap();
    PostgresA::write(&waiting, "second").await.unwrap();
    let committed = waiting.commit_all().await.unwrap();
    assert!(committed.gid().is_some());
    assert_eq!(PostgresA::rows(&postgres).await, ["first", "second"]);
    assert_eq!(Sqlite::rows(&sqlite).await, ["second"]);
}

#[tokio::test]
async fn an_exhausted_pool_of_deadpool_times_out() {
    a_pool_that_is_exhausted_fails_the_unit(PoolKind::Deadpool).await;
}

#[tokio::test]
async fn an_exhausted_pool_of_bb8_times_out() {
    a_pool_that_is_exhausted_fails_the_unit(PoolKind::Bb8).await;
}

/// Registers a pool of PostgreSQL beside one of SQLite. Returns the databases and the pool of PostgreSQL as well.
async fn postgres_beside_sqlite() -> ([Database; 2], Pool<AsyncPgConnection>, Binds) {
    let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(postgres.url());
    let pool = Pool::builder(manager).build().unwrap();
    let builder = Binds::builder()
        .namespace("pools")
        .bind(PostgresA, pool.clone());
    let builder = Sqlite::register(
        builder,
        sqlite.url(),
        PoolKind::Deadpool,
        1,
        BindOptions::new(),
    )
    .await;
    let binds = builder.build().unwrap();
    ([postgres, sqlite], pool, binds)
}

#[tokio::test]
async fn a_pool_that_is_closed_fails_the_unit() {
    let ([_postgres, sqlite], pool, binds) = postgres_beside_sqlite().await;
    pool.close();

    let mut session = binds.session();
    Sqlite::write(&session, "alone").await.unwrap();
    let error = PostgresA::write(&session, "lost").await.unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Pool {
                bind: "pg-a",
                source: PoolError::Closed
            }
        ),
        "{error:?}"
    );
    assert_refused(&mut session).await;
    assert!(Sqlite::rows(&sqlite).await.is_empty());
}

#[tokio::test]
async fn a_pool_that_closes_during_a_unit_does_not_stop_its_commit() {
    let ([postgres, sqlite], pool, binds) = postgres_beside_sqlite().await;

    let mut session = binds.session();
    PostgresA::write(&session, "kept").await.unwrap();
    Sqlite::write(&session, "kept").await.unwrap();
    pool.close();
    let committed = session.commit_all().await.unwrap();
    assert!(committed.committed().unwrap().pending().is_empty());
    assert_eq!(PostgresA::rows(&postgres).await, ["kept"]);
    assert_eq!(Sqlite::rows(&sqlite).await, ["kept"]);
}

#[tokio::test]
async fn a_server_that_is_down_is_an_error_of_its_pool() {
    let sqlite: Database = Sqlite::database().await;
    let builder = Binds::builder().namespace("pools");
    let nowhere = "postgres://postgres@127.0.0.1:1/postgres";
    let options = BindOptions::new();
    let builder =
        PostgresA::register(builder, nowhere, PoolKind::Deadpool, 1, options.clone()).await;
    let builder = Sqlite::register(builder, sqlite.url(), PoolKind::Deadpool, 1, options).await;
    let binds = builder.build().unwrap();
    let error = PostgresA::write(&binds.session(), "lost")
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            Error::Pool {
                bind: "pg-a",
                source: PoolError::Connect(_)
            }
        ),
        "{error:?}"
    );
}

/// Regression test: a unit committed without a statement that was dropped while it waited for its pool. With a
/// deadline, the unit was refused.
#[tokio::test]
async fn a_statement_that_is_dropped_while_it_waits_for_its_pool_fails_the_unit() {
    let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
    let builder = Binds::builder().namespace("pools");
    let (kind, options) = (PoolKind::Deadpool, BindOptions::new());
    let builder = PostgresA::register(builder, postgres.url(), kind, 1, options.clone()).await;
    let builder = Sqlite::register(builder, sqlite.url(), kind, 1, options).await;
    let binds = builder.build().unwrap();

    let holding = binds.session();
    PostgresA::write(&holding, "holding").await.unwrap();
    let mut waiting = binds.session();
    Sqlite::write(&waiting, "alone").await.unwrap();
    let limit = Duration::from_millis(50);
    let late = tokio::time::timeout(limit, PostgresA::write(&waiting, "dropped")).await;
    assert!(late.is_err(), "{late:?}");
    let refused = waiting.commit_all().await;
    assert!(
        matches!(
            refused,
            Err(CommitError::RolledBack {
                bind: "pg-a",
                source: Fault::Incomplete,
                ..
            })
        ),
        "{refused:?}"
    );
    assert!(Sqlite::rows(&sqlite).await.is_empty());
}
