//! Pools that give no connection: an error that names the bind, and a unit that goes on.

use std::time::Duration;

use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::pooled_connection::deadpool::Pool;
use diesel_binds::{BindOptions, Binds, Error, PoolError};

use crate::suite::side::{PoolKind, PostgresA, Side, Sqlite};
use crate::support::database::Database;

async fn an_exhausted_pool_times_out_and_the_unit_goes_on(pool: PoolKind) {
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
    let _ = holding.commit_all().await.unwrap();
    // Nothing ran, so nothing is lost: the same unit tries again.
    PostgresA::write(&waiting, "second").await.unwrap();
    let committed = waiting.commit_all().await.unwrap();
    assert!(committed.gid().is_some());
    assert_eq!(PostgresA::rows(&postgres).await, ["first", "second"]);
    assert_eq!(Sqlite::rows(&sqlite).await, ["second"]);
}

#[tokio::test]
async fn an_exhausted_pool_of_deadpool_times_out() {
    an_exhausted_pool_times_out_and_the_unit_goes_on(PoolKind::Deadpool).await;
}

#[tokio::test]
async fn an_exhausted_pool_of_bb8_times_out() {
    an_exhausted_pool_times_out_and_the_unit_goes_on(PoolKind::Bb8).await;
}

#[tokio::test]
async fn a_closed_pool_says_so_and_the_unit_goes_on() {
    let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(postgres.url());
    let pool = Pool::builder(manager).build().unwrap();
    let builder = Binds::builder()
        .namespace("pools")
        .bind::<PostgresA>(pool.clone());
    let builder = Sqlite::register(
        builder,
        sqlite.url(),
        PoolKind::Deadpool,
        1,
        BindOptions::new(),
    )
    .await;
    let binds = builder.build().unwrap();
    pool.close();

    let mut session = binds.session();
    Sqlite::write(&session, "kept").await.unwrap();
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
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.binds(), ["lite"]);
    assert_eq!(Sqlite::rows(&sqlite).await, ["kept"]);
}

#[tokio::test]
async fn a_pool_that_closes_during_a_unit_does_not_stop_its_commit() {
    let (postgres, sqlite) = (PostgresA::database().await, Sqlite::database().await);
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(postgres.url());
    let pool = Pool::builder(manager).build().unwrap();
    let builder = Binds::builder()
        .namespace("pools")
        .bind::<PostgresA>(pool.clone());
    let builder = Sqlite::register(
        builder,
        sqlite.url(),
        PoolKind::Deadpool,
        1,
        BindOptions::new(),
    )
    .await;
    let binds = builder.build().unwrap();

    let mut session = binds.session();
    PostgresA::write(&session, "kept").await.unwrap();
    Sqlite::write(&session, "kept").await.unwrap();
    pool.close();
    let committed = session.commit_all().await.unwrap();
    assert!(committed.pending().is_empty());
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
