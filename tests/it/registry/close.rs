//! `close()` waits for background work, and lets no new work begin.

use std::time::Duration;

use diesel_binds::{Bind, BindOptions, Error};
use futures_util::FutureExt as _;
use kit::database::Database;
use kit::proxy::Proxy;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use kit::world::{Sides, World, binds};

/// Writes the same row as an ended unit, without waiting for its locks.
async fn take_the_row<S: Side>(database: &Database) {
    let at_once = match <S::Bind as Bind>::KEY {
        key if key.starts_with("pg") => "SET lock_timeout = '1ms'; ",
        key if key.starts_with("my") => "SET SESSION innodb_lock_wait_timeout = 0; ",
        _ => "",
    };
    let insert = format!("{at_once}INSERT INTO notes (text) VALUES ('taken')");
    S::admin(database, &insert).await;
}

async fn close_waits_for_roll_backs<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    let session = world.binds.session();
    S::write(&session, "taken").await.unwrap();
    drop(session);
    world.binds.close().await;
    take_the_row::<S>(&world.databases[0]).await;
}

async fn close_waits_as_long_as_a_roll_back_takes<S: Side>()
where
    (S,): Sides,
{
    let database = S::database().await;
    let proxy = Proxy::start(database.url()).await;
    let urls = [proxy.url(database.url())];
    let binds = binds::<(S,)>(&urls, PoolKind::Deadpool, &BindOptions::new()).await;
    let session = binds.session();
    S::write(&session, "taken").await.unwrap();
    proxy.stall();
    drop(session);
    let closing = binds.close();
    tokio::pin!(closing);
    let early = tokio::time::timeout(Duration::from_millis(100), &mut closing).await;
    assert!(early.is_err(), "the roll-back has not reached its server");
    proxy.resume();
    closing.await;
    take_the_row::<S>(&database).await;
}

#[tokio::test]
async fn close_waits_as_long_as_a_roll_back_takes_on_postgres() {
    close_waits_as_long_as_a_roll_back_takes::<PostgresA>().await;
}

#[tokio::test]
async fn close_waits_as_long_as_a_roll_back_takes_on_mariadb() {
    close_waits_as_long_as_a_roll_back_takes::<MariadbA>().await;
}

async fn closed_binds_take_no_new_work_but_let_open_units_end<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    let mut open = world.binds.session();
    S::write(&open, "kept").await.unwrap();
    world.binds.close().await;

    let late = world.binds.session();
    assert!(matches!(
        S::write(&late, "late").await,
        Err(Error::Closed { .. })
    ));
    let closure: Result<(), Error> = world
        .binds
        .transaction(async |session| S::write(session, "late").await.map(drop))
        .await;
    assert!(matches!(closure, Err(Error::Closed { .. })));

    S::write(&open, "also").await.unwrap();
    open.commit_all().await.unwrap();
    assert!(matches!(
        S::write(&open, "late").await,
        Err(Error::Closed { .. })
    ));
    assert_eq!(S::rows(&world.databases[0]).await, ["kept", "also"]);
}

/// A commit whose future was dropped goes on, and `close` waits for it.
#[tokio::test]
async fn close_waits_for_a_commit_that_nobody_waits_for() {
    let world = World::of::<(PostgresA, MariadbA)>(PoolKind::Deadpool).await;
    let mut session = world.binds.session();
    PostgresA::write(&session, "kept").await.unwrap();
    MariadbA::write(&session, "kept").await.unwrap();
    let committed = session.commit_all().now_or_never();
    assert!(committed.is_none(), "the servers were not asked yet");
    world.binds.close().await;
    assert_eq!(PostgresA::rows(&world.databases[0]).await, ["kept"]);
    assert_eq!(MariadbA::rows(&world.databases[1]).await, ["kept"]);
}

/// A commit takes no connection from a pool, so a closed pool does not stop it.
#[tokio::test]
async fn a_unit_of_several_writers_commits_after_the_close() {
    let world = World::of::<(PostgresA, MariadbA, Sqlite)>(PoolKind::Deadpool).await;
    let mut session = world.binds.session();
    <(PostgresA, MariadbA, Sqlite)>::write(&session, "kept")
        .await
        .unwrap();
    world.binds.close().await;
    let committed = session.commit_all().await.unwrap();
    assert!(committed.committed().unwrap().pending().is_empty());
    for rows in <(PostgresA, MariadbA, Sqlite)>::rows(&world).await {
        assert_eq!(rows, ["kept"]);
    }
}

macro_rules! mount {
    ($($behaviour:ident),+) => {
        $(mod $behaviour {
            use super::*;

            #[tokio::test]
            async fn postgres_deadpool() {
                super::$behaviour::<PostgresA>(PoolKind::Deadpool).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn postgres_bb8() {
                super::$behaviour::<PostgresA>(PoolKind::Bb8).await;
            }

            #[tokio::test]
            async fn mariadb_deadpool() {
                super::$behaviour::<MariadbA>(PoolKind::Deadpool).await;
            }

            #[tokio::test]
            async fn mariadb_bb8() {
                super::$behaviour::<MariadbA>(PoolKind::Bb8).await;
            }

            #[tokio::test]
            async fn sqlite_deadpool() {
                super::$behaviour::<Sqlite>(PoolKind::Deadpool).await;
            }
        })+
    };
}

mount!(
    close_waits_for_roll_backs,
    closed_binds_take_no_new_work_but_let_open_units_end
);
