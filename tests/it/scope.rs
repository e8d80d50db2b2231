//! Scopes: a session that a task reaches without a parameter, and that no other task reaches.

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use diesel::prelude::*;
use diesel_binds::error::AbortReason;
use diesel_binds::{
    BindOptions, Binds, CommitError, Error, OptionalExt as _, RunQueryDsl, SessionOptions, current,
};
use futures_util::future::join_all;
use futures_util::{FutureExt as _, TryStreamExt as _};
use kit::side::{MariadbA, PoolKind, PostgresA, Side as _, mariadb_a, postgres_a};
use kit::world::{Sides as _, World};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::suite::scoped::{POOL, Two, both_have, note, world};

async fn notes() -> Result<Vec<String>, Error> {
    postgres_a::notes::table
        .select(postgres_a::notes::text)
        .order(postgres_a::notes::id)
        .load(&current()?)
        .await
}

#[tokio::test]
async fn a_commit_in_a_scope_is_kept_on_every_bind() {
    let world = world().await;
    let committed = world
        .binds
        .scope(async {
            note("kept").await?;
            let committed = current()?.commit_all().await?;
            note("after the commit").await?;
            Ok::<_, Error>(committed)
        })
        .await
        .unwrap();
    assert_eq!(committed.binds(), Two::keys());
    assert!(committed.gid().is_some());
    both_have(&world, &["kept"]).await;
}

#[tokio::test]
async fn uncommitted_work_is_rolled_back_when_its_scope_ends() {
    let world = World::of::<(PostgresA,)>(PoolKind::Bb8).await;
    world
        .binds
        .scope(async {
            let text = postgres_a::notes::text.eq("gone");
            let insert = diesel::insert_into(postgres_a::notes::table).values(text);
            insert.execute(&current().unwrap()).await.unwrap();
        })
        .await;
    // The earlier unit holds no lock any more: `text` is unique.
    let options = SessionOptions::new().deadline(Duration::from_millis(500));
    let session = world.binds.with(options).session();
    PostgresA::write(&session, "gone").await.unwrap();
}

#[tokio::test]
async fn a_scope_that_rolls_back_goes_on_with_a_new_unit() {
    let world = world().await;
    let scope = world.binds.scope(async {
        note("gone").await?;
        let unit = current()?.unit();
        current()?.rollback_all().await?;
        assert_ne!(current()?.unit(), unit);
        note("kept").await?;
        current()?.commit_all().await
    });
    let _ = scope.await.unwrap();
    both_have(&world, &["kept"]).await;
}

#[tokio::test]
async fn current_outside_of_a_scope_is_an_error_and_no_panic() {
    let world = world().await;
    let error = note("nowhere").await.unwrap_err();
    assert!(matches!(error, Error::NoScope));
    assert!(error.to_string().contains("`scope.spawn(..)`"), "{error}");
    world.binds.scope(async {}).await;
    assert!(matches!(current(), Err(Error::NoScope)));
}

#[tokio::test]
async fn a_scope_inside_of_a_scope_is_a_unit_of_its_own() {
    let world = world().await;
    let binds = &world.binds;
    binds
        .scope(async {
            let outer = current().unwrap().unit();
            note("outer").await.unwrap();
            binds
                .scope(async {
                    assert_ne!(current().unwrap().unit(), outer);
                    assert!(notes().await.unwrap().is_empty());
                    note("inner").await.unwrap();
                    current().unwrap().commit_all().await.unwrap();
                })
                .await;
            assert_eq!(current().unwrap().unit(), outer);
            assert_eq!(notes().await.unwrap(), ["outer", "inner"]);
        })
        .await;
    both_have(&world, &["inner"]).await;
}

#[tokio::test]
async fn a_task_inherits_the_scope_only_when_the_scope_spawns_it() {
    let world = world().await;
    world
        .binds
        .scope(async {
            let silent = tokio::spawn(async { current().map(|scope| scope.unit()) });
            assert!(matches!(silent.await.unwrap(), Err(Error::NoScope)));

            let scope = current().unwrap();
            let unit = scope.unit();
            let task = scope.spawn(async {
                note("by a task").await.unwrap();
                current().unwrap().unit()
            });
            assert_eq!(task.await.unwrap(), unit);
            assert_eq!(notes().await.unwrap(), ["by a task"]);
            scope.commit_all().await.unwrap();
        })
        .await;
    both_have(&world, &["by a task"]).await;
}

#[tokio::test]
async fn nothing_runs_in_a_scope_that_has_ended() {
    let world = world().await;
    let (end, ended) = oneshot::channel::<()>();
    let (scope, task) = world
        .binds
        .scope(async {
            note("gone").await.unwrap();
            let scope = current().unwrap();
            let task = scope.spawn(async {
                ended.await.unwrap();
                note("too late").await
            });
            (scope, task)
        })
        .await;
    end.send(()).unwrap();
    assert!(matches!(task.await.unwrap(), Err(Error::ScopeEnded)));
    let committed = scope.commit_all().await;
    assert!(matches!(committed, Err(Error::ScopeEnded)));
    both_have(&world, &[]).await;
}

#[tokio::test]
async fn a_scope_that_ends_while_a_task_of_it_queries_rolls_back_after_that_query() {
    let world = world().await;
    let (task, ()) = world
        .binds
        .scope(async {
            note("gone").await.unwrap();
            let scope = current().unwrap();
            let (begin, begun) = oneshot::channel();
            let task = scope.spawn(async move {
                let scope = current().unwrap();
                let sleep = diesel::sql_query("SELECT pg_sleep(0.3)");
                let on = scope.on(PostgresA);
                let mut sleeping = pin!(sleep.execute(&on));
                assert!(sleeping.as_mut().now_or_never().is_none());
                begin.send(()).unwrap();
                let slept = sleeping.await;
                (slept, note("too late").await)
            });
            begun.await.unwrap();
            (task, ())
        })
        .await;
    let (slept, late) = task.await.unwrap();
    assert!(slept.is_ok());
    assert!(matches!(late, Err(Error::ScopeEnded)));
    both_have(&world, &[]).await;
}

#[tokio::test]
async fn a_scope_that_is_dropped_or_panics_rolls_back() {
    let world = world().await;
    // More often than a pool has connections.
    for _ in 0..POOL {
        let panicking = world.binds.scope(async {
            note("panic").await.unwrap();
            panic!("as a handler does");
        });
        let panicked: Result<(), _> = std::panic::AssertUnwindSafe(panicking).catch_unwind().await;
        assert!(panicked.is_err());

        let (begin, begun) = oneshot::channel();
        let mut dropped = Box::pin(world.binds.scope(async {
            note("dropped").await.unwrap();
            begin.send(()).unwrap();
            pending::<()>().await;
        }));
        tokio::select! {
            () = &mut dropped => unreachable!("it waits for ever"),
            result = begun => result.unwrap(),
        }
        drop(dropped);
    }
    both_have(&world, &[]).await;
}

#[tokio::test]
async fn a_unit_neither_ends_nor_is_lent_while_a_query_of_it_runs() {
    let world = world().await;
    world
        .binds
        .scope(async {
            note("kept").await.unwrap();
            let scope = current().unwrap();
            let rows = postgres_a::notes::table.select(postgres_a::notes::text);
            {
                let mut stream = pin!(rows.load_stream::<String>(&scope).await.unwrap());
                for in_use in [scope.commit_all().await.err(), scope.lock().err()] {
                    assert!(matches!(in_use, Some(Error::SessionInUse)));
                }
                // A bind that is not in use can still be queried.
                assert_eq!(mariadb_notes().await.unwrap(), ["kept"]);
                assert_eq!(stream.try_next().await.unwrap().unwrap(), "kept");
            }
            {
                let lent = scope.lock().unwrap();
                assert!(matches!(notes().await, Err(Error::SessionInUse)));
                let committed = scope.commit_all().await;
                assert!(matches!(committed, Err(Error::SessionInUse)));
                PostgresA::write(&lent, "by a lock").await.unwrap();
                MariadbA::write(&lent, "by a lock").await.unwrap();
            }
            scope.commit_all().await.unwrap();
        })
        .await;
    both_have(&world, &["kept", "by a lock"]).await;
}

async fn mariadb_notes() -> Result<Vec<String>, Error> {
    let rows = mariadb_a::notes::table.select(mariadb_a::notes::text);
    rows.load(&current()?).await
}

#[tokio::test]
async fn a_savepoint_keeps_the_session_of_its_scope_to_itself() {
    let world = world().await;
    world
        .binds
        .scope(async {
            let scope = current().unwrap();
            note("kept").await.unwrap();
            let undone: Result<(), Error> = scope
                .lock()
                .unwrap()
                .savepoint(async |session| {
                    assert!(matches!(
                        current()?.commit_all().await,
                        Err(Error::SessionInUse)
                    ));
                    let committed = session.commit_all().await;
                    assert!(matches!(committed, Err(CommitError::InsideTransaction)));
                    Two::write(session, "undone").await?;
                    Err(Error::NoScope)
                })
                .await;
            assert!(undone.is_err());
            scope.commit_all().await.unwrap();
        })
        .await;
    both_have(&world, &["kept"]).await;
}

/// A caller may replace the session of a scope, like any other `&mut Session`.
#[tokio::test]
async fn a_session_put_in_the_place_of_that_of_a_scope_is_not_taken_for_it() {
    let world = world().await;
    world
        .binds
        .scope(async {
            let scope = current().unwrap();
            let mut other = world.binds.session();
            std::mem::swap(&mut *scope.lock().unwrap(), &mut other);
            assert!(matches!(
                note("astray").await,
                Err(Error::AbortOnly {
                    reason: AbortReason::Exchanged,
                    ..
                })
            ));
        })
        .await;
    both_have(&world, &[]).await;
}

#[tokio::test]
async fn a_query_whose_type_tells_no_bind_names_it() {
    let world = world().await;
    let options = SessionOptions::new().read_only();
    world
        .binds
        .with(options)
        .scope(async {
            let scope = current().unwrap();
            let query = || diesel::sql_query("SELECT id FROM notes");
            let read = query().execute(&scope.on(PostgresA).reading()).await;
            assert_eq!(read.unwrap(), 0);
            let refused = query().execute(&scope.on(PostgresA)).await;
            assert!(matches!(refused, Err(Error::ReadOnly { bind: "pg-a" })));
        })
        .await;
}

#[tokio::test]
async fn a_scope_that_runs_no_query_opens_nothing() {
    // Nothing listens at this address, so that a checkout would fail.
    let url = "postgres://nobody@127.0.0.1:1/nothing";
    let (pool, options) = (PoolKind::Deadpool, BindOptions::new());
    let builder = Binds::builder().namespace("nothing");
    let builder = PostgresA::register(builder, url, pool, 1, options).await;
    let binds = builder.build().unwrap();
    binds
        .scope(async {
            let scope = current().unwrap();
            scope.commit_all().await.unwrap();
            scope.rollback_all().await.unwrap();
            scope.spawn(async {}).await.unwrap();
            assert!(matches!(notes().await, Err(Error::Pool { .. })));
        })
        .await;
}

/// All requests run on one thread, and outnumber the connections of the pool. Each waits, is resumed, and waits again,
/// interleaved with the others.
#[tokio::test]
async fn each_of_a_thousand_requests_on_one_thread_sees_only_its_own_session() {
    const REQUESTS: usize = 1_000;

    let database = PostgresA::database().await;
    let (pool, options) = (PoolKind::Deadpool, BindOptions::new());
    let builder = Binds::builder().namespace("thousand");
    let builder = PostgresA::register(builder, database.url(), pool, 16, options).await;
    let binds = builder.build().unwrap();

    let requests = (0..REQUESTS).map(|number| {
        let binds = binds.clone();
        tokio::spawn(async move { binds.scope(request(number)).await })
    });
    for request in join_all(requests).await {
        request.unwrap().unwrap();
    }

    let mut committed = PostgresA::rows(&database).await;
    committed.sort_unstable();
    let mut expected: Vec<_> = (0..REQUESTS).step_by(3).map(name).collect();
    expected.sort_unstable();
    assert_eq!(committed, expected);
}

fn name(number: usize) -> String {
    format!("request {number}")
}

/// Writes one row, and commits every third.
async fn request(number: usize) -> Result<(), Error> {
    use postgres_a::notes::dsl::{notes, text};

    let unit = current()?.unit();
    tokio::task::yield_now().await;
    let insert = diesel::insert_into(notes).values(text.eq(name(number)));
    insert.execute(&current()?).await?;
    assert_eq!(current()?.unit(), unit);
    tokio::task::yield_now().await;

    // In the session of another request, this row would be missing, and that request's row would be there.
    let own = notes.filter(text.eq(name(number))).select(text);
    let own: Option<String> = own.first(&current()?).await.optional()?;
    assert_eq!(own, Some(name(number)));
    let of_open_units = notes
        .filter(diesel::dsl::sql::<diesel::sql_types::Bool>(
            "pg_current_xact_id_if_assigned()::text = xmin::text",
        ))
        .select(text);
    let rows: Vec<String> = of_open_units.load(&current()?).await?;
    assert_eq!(rows, [name(number)]);
    if number.is_multiple_of(3) {
        current()?.commit_all().await?;
        assert_ne!(current()?.unit(), unit);
    }
    Ok(())
}

#[tokio::test]
async fn the_hooks_of_a_unit_run_however_its_scope_ends() {
    let world = world().await;
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let hook = |how: &'static str| {
        let sender = sender.clone();
        let scope = current().unwrap();
        scope.lock().unwrap().after_rollback(async move |_| {
            let _ = sender.send(how);
        });
    };
    world
        .binds
        .scope(async {
            note("gone").await.unwrap();
            hook("returned");
        })
        .await;
    assert_eq!(receiver.try_recv().unwrap(), "returned");

    let mut dropped = Box::pin(world.binds.scope(async {
        note("gone").await.unwrap();
        hook("dropped");
        pending::<()>().await;
    }));
    let waited = timeout(Duration::from_millis(500), &mut dropped).await;
    assert!(waited.is_err());
    drop(dropped);
    assert_eq!(receiver.recv().await.unwrap(), "dropped");
    both_have(&world, &[]).await;
}

/// This also holds after its deadline: the unit has nothing that could be lost.
#[tokio::test]
async fn a_unit_that_did_nothing_commits() {
    let world = world().await;
    let options = SessionOptions::new().deadline(Duration::ZERO);
    let committed = world
        .binds
        .with(options)
        .scope(async { current()?.commit_all().await });
    assert!(committed.await.unwrap().binds().is_empty());
}

/// The end of a unit waits for no query that may wait for the end.
#[tokio::test]
async fn no_part_of_a_scope_waits_for_another() {
    let world = world().await;
    let scope = world.binds.scope(async {
        let scope = current().unwrap();
        let _lent = scope.lock().unwrap();
        let parts = [notes().await.err(), scope.rollback_all().await.err()];
        assert!(matches!(
            parts,
            [Some(Error::SessionInUse), Some(Error::SessionInUse)]
        ));
    });
    timeout(Duration::from_secs(10), scope).await.unwrap();
}
