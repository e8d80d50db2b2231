//! Units that are run again: after a conflict, as often as requested, and for no other reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::units::Retried;
use diesel_binds::{Bind, CommitError, Error, Isolation, Retry, Session, SessionOptions};
use kit::side::{PoolKind, Side};
use kit::world::World;
use tokio::sync::Barrier;

use crate::suite::second::Second;

/// Returns options without long waits.
fn retry(attempts: u32) -> Retry {
    let (first, longest) = (Duration::from_millis(1), Duration::from_millis(20));
    Retry::new().attempts(attempts).delay(first, longest)
}

/// Creates two rows, and a pool of two connections on which `sql` runs first.
async fn world<S: Side, Other: Second>(pool: PoolKind, sql: &'static str) -> World {
    let world = World::builder::<Other::With<S>>()
        .pool(pool)
        .size(1)
        .size_of(0, 2)
        .binds(|binds| match sql {
            "" => binds,
            sql => binds.after_begin(S::bind(), move |connection| {
                use diesel_async::SimpleAsyncConnection as _;
                Box::pin(connection.batch_execute(sql))
            }),
        })
        .build()
        .await;
    let rows = "INSERT INTO notes (text) VALUES ('one'), ('two')";
    S::admin(&world.databases[0], rows).await;
    world
}

/// An error of an application that has no cause.
#[derive(Debug)]
struct Opaque;

impl From<Error> for Opaque {
    fn from(_: Error) -> Self {
        Self
    }
}

/// Runs two units that change two rows in opposite orders. Returns how often both ran together.
async fn deadlock<S: Side, Other: Second>(world: &World, retry: Retry) -> (u32, Result<(), u32>) {
    let runs = Arc::new(AtomicU32::new(0));
    let both = Arc::new(Barrier::new(2));
    let unit = async |first: u32, second: u32| {
        let met = AtomicU32::new(0);
        let (runs, both) = (Arc::clone(&runs), Arc::clone(&both));
        let retrying = world.binds.retrying(retry.clone());
        retrying
            .transaction::<(), Opaque, _>(async |session| {
                runs.fetch_add(1, Ordering::SeqCst);
                let change = |id: u32| format!("UPDATE notes SET text = text WHERE id = {id}");
                // The next attempt begins with the row that the other unit has locked, so it holds none that the other
                // needs, and cannot deadlock again. In the first order, it might lock its row again before the server
                // has woken the other unit, which waits for that row.
                let order = match met.fetch_add(1, Ordering::SeqCst) {
                    0 => [first, second],
                    _ => [second, first],
                };
                S::sql(session, &change(order[0])).await?;
                if order[0] == first {
                    both.wait().await;
                }
                S::sql(session, &change(order[1])).await?;
                Ok(())
            })
            .await
            .map_err(|error: Retried<Opaque>| error.attempts())
    };
    let (one, two) = tokio::join!(unit(1, 2), unit(2, 1));
    (runs.load(Ordering::SeqCst), one.and(two))
}

pub(crate) async fn a_deadlock_is_run_again<S: Side, Other: Second>(pool: PoolKind) {
    let world = world::<S, Other>(pool, "").await;
    assert_eq!(deadlock::<S, Other>(&world, retry(5)).await, (3, Ok(())));
    // Not more often than requested.
    assert_eq!(deadlock::<S, Other>(&world, retry(1)).await, (2, Err(1)));
    assert_eq!(S::rows(&world.databases[0]).await, ["one", "two"]);
}

pub(crate) async fn a_lock_that_is_not_waited_for_is_run_again<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, "").await;
    let holding = world.binds.session();
    let change = "UPDATE notes SET text = text WHERE id = 1";
    S::sql(&holding, change).await.unwrap();
    let holding = tokio::sync::Mutex::new(Some(holding));
    let runs = AtomicU32::new(0);
    let units = world.binds.retrying(retry(3));
    let locked = units.transaction::<_, Error, _>(async |session| {
        if runs.fetch_add(1, Ordering::SeqCst) == 1 {
            let mut holding = holding.lock().await.take().unwrap();
            holding.rollback_all().await?;
        }
        let lock = "SELECT text FROM notes WHERE id = 1 FOR UPDATE NOWAIT";
        S::sql(session, lock).await.inspect_err(|error| {
            assert!(error.is_retryable(), "{error:?}");
        })
    });
    locked.await.unwrap();
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

/// The server reports the conflict in the language of the connection.
pub(crate) async fn units_are_run_again_in_any_language<S: Side, Other: Second>(pool: PoolKind) {
    let world = world::<S, Other>(pool, "SET lc_messages = 'de_DE'").await;
    assert_eq!(deadlock::<S, Other>(&world, retry(5)).await, (3, Ok(())));
    // MariaDB always reports a deadlock in English, but not a lock that was not free.
    let mut holding = world.binds.session();
    S::write(&holding, "theirs").await.unwrap();
    let options = SessionOptions::new().lock_timeout(Duration::from_secs(1));
    let gave_up = world
        .binds
        .with(options)
        .retrying(retry(2))
        .transaction::<_, Error, _>(async |session| S::write(session, "theirs").await)
        .await
        .unwrap_err();
    let said = gave_up.error().diesel().unwrap().to_string();
    assert!(said.contains("Sperre"), "{said}");
    // The error does not show it: only the server knows its number.
    assert!(!gave_up.error().is_retryable(), "{said}");
    assert_eq!(gave_up.attempts(), 2);
    holding.rollback_all().await.unwrap();
}

/// MariaDB reports the conflict if its snapshots are isolated, as they are by default in later releases, and rolls the
/// transaction back. In English the error itself shows the conflict, so that a unit without a runner can be repeated.
pub(crate) async fn a_row_changed_since_the_snapshot_is_run_again<S: Side, Other: Second>(
    pool: PoolKind,
) {
    if S::is_mysql() {
        // It changes the later row unseen.
        return;
    }
    for (setup, is_shown) in [
        ("SET innodb_snapshot_isolation = ON", true),
        (
            "SET innodb_snapshot_isolation = ON, lc_messages = 'de_DE'",
            false,
        ),
    ] {
        let world = world::<S, Other>(pool, setup).await;
        let options = SessionOptions::new().isolation(Isolation::RepeatableRead);
        let runs = AtomicU32::new(0);
        let unit = async |session: &mut Session| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            S::write(session, "kept").await?;
            let seen = S::read(session).await?.len();
            if run < 2 {
                let change = format!("UPDATE notes SET text = 'theirs {run}' WHERE id = 1");
                S::admin(&world.databases[0], &change).await;
            }
            S::sql(session, "UPDATE notes SET text = 'ours' WHERE id = 1").await?;
            Ok::<_, Error>(seen)
        };
        let units = world.binds.with(options);
        let changed = units.clone().transaction(unit).await.unwrap_err();
        assert_eq!(changed.is_retryable(), is_shown, "{changed:?}");
        assert_eq!(S::rows(&world.databases[0]).await, ["theirs 0", "two"]);
        assert_eq!(units.retrying(retry(5)).transaction(unit).await.unwrap(), 3);
        assert_eq!(runs.into_inner(), 3);
        assert_eq!(S::rows(&world.databases[0]).await, ["ours", "two", "kept"]);
    }
}

/// Two units read, and write the result: one of them has read stale rows. The server may report that at a statement or
/// at the commit.
pub(crate) async fn a_serialization_failure_is_run_again<S: Side, Other: Second>(pool: PoolKind) {
    let world = world::<S, Other>(pool, "").await;
    let options = SessionOptions::new().isolation(Isolation::Serializable);
    for sum in ["statement", "commit"] {
        let runs = AtomicU32::new(0);
        let both = Barrier::new(2);
        let unit = async |text: &'static str| {
            let met = AtomicU32::new(0);
            let units = world.binds.with(options.clone());
            units
                .retrying(retry(20))
                .transaction::<(), Error, _>(async |session| {
                    runs.fetch_add(1, Ordering::SeqCst);
                    let seen = S::read(session).await?.len();
                    let meet = met.fetch_add(1, Ordering::SeqCst) == 0;
                    if meet && sum == "statement" {
                        both.wait().await;
                    }
                    S::write(session, &format!("{sum} {text} {seen}")).await?;
                    if meet && sum == "commit" {
                        both.wait().await;
                    }
                    Ok(())
                })
                .await
        };
        let (one, two) = tokio::join!(unit("a"), unit("b"));
        let (_, _) = (one.unwrap(), two.unwrap());
        assert!(runs.load(Ordering::SeqCst) >= 3);
    }
    // The rows are the same as after one unit and then the other.
    let mut seen: Vec<String> = S::rows(&world.databases[0]).await;
    seen.drain(..2);
    let numbers: Vec<usize> = seen
        .iter()
        .map(|row| row.rsplit(' ').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(numbers, [2, 3, 4, 5], "{seen:?}");
}

/// Another unit holds the lock during the first attempts.
pub(crate) async fn a_lock_that_was_not_free_in_time_is_run_again<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, "").await;
    let options = SessionOptions::new().lock_timeout(Duration::from_secs(1));
    let mut holding = world.binds.session();
    S::write(&holding, "theirs").await.unwrap();
    let write = async |session: &mut Session| S::write(session, "theirs").await;
    let gave_up = world
        .binds
        .with(options.clone())
        .retrying(retry(2))
        .transaction::<_, Error, _>(write)
        .await
        .unwrap_err();
    assert_eq!(gave_up.attempts(), 2);
    let gave_up = Error::from(gave_up);
    assert!(
        matches!(gave_up, Error::Retried { attempts: 2, .. }),
        "{gave_up:?}"
    );
    assert_eq!(gave_up.bind(), Some(S::Bind::KEY));
    assert!(!gave_up.is_in_doubt());
    assert!(gave_up.is_retryable(), "{gave_up:?}");
    let runs = AtomicU32::new(0);
    let retrying = world.binds.with(options).retrying(retry(9));
    let waiting = retrying.transaction::<_, Error, _>(async |session| {
        if runs.fetch_add(1, Ordering::SeqCst) == 1 {
            // The second attempt ends with another error.
            return Err(Error::InsideUnit);
        }
        S::write(session, "theirs").await
    });
    let other = waiting.await.unwrap_err();
    assert_eq!(other.attempts(), 2);
    // That error is not a conflict, so the unit is not run again.
    assert!(!other.error().is_retryable());
    assert!(matches!(other.into_error(), Error::InsideUnit));
    holding.rollback_all().await.unwrap();
    let retrying = world.binds.retrying(retry(9));
    let (_, committed) = retrying
        .transaction_with_commit::<_, Error, _>(write)
        .await
        .unwrap();
    assert_eq!(committed.binds()[0], S::Bind::KEY);
    assert_eq!(S::rows(&world.databases[0]).await, ["one", "two", "theirs"]);
}

/// The server is asked nothing in a unit that is not run again, so the error itself must show the conflict.
pub(crate) async fn a_deadlock_is_retryable<S: Side, Other: Second>(pool: PoolKind) {
    let world = world::<S, Other>(pool, "").await;
    let both = Barrier::new(2);
    let unit = async |first: u32, second: u32| {
        let work = world.binds.transaction::<(), Error, _>(async |session| {
            let change = |id: u32| format!("UPDATE notes SET text = text WHERE id = {id}");
            S::sql(session, &change(first)).await?;
            both.wait().await;
            S::sql(session, &change(second)).await?;
            Ok(())
        });
        work.await
    };
    let (one, two) = tokio::join!(unit(1, 2), unit(2, 1));
    let error = one.and(two).unwrap_err();
    assert!(matches!(error, Error::Query { .. }), "{error:?}");
    assert!(error.is_retryable(), "{error:?}");
}

pub(crate) async fn a_serialization_failure_is_retryable<S: Side, Other: Second>(pool: PoolKind) {
    let world = world::<S, Other>(pool, "").await;
    let options = SessionOptions::new().isolation(Isolation::Serializable);
    let session = || world.binds.with(options.clone()).session();
    let (mut first, mut second) = (session(), session());
    for session in [&first, &second] {
        S::read(session).await.unwrap();
    }
    S::write(&first, "first").await.unwrap();
    S::write(&second, "second").await.unwrap();
    first.commit_all().await.unwrap();
    let refused = second.commit_all().await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    assert!(refused.is_rolled_back(), "{refused:?}");
    assert!(Error::from(refused).is_retryable());
    // At a statement, and at the next one, which reports only that the transaction is aborted.
    S::read(&second).await.unwrap();
    let change = "UPDATE notes SET text = 'changed' WHERE id = 1";
    S::sql(&first, change).await.unwrap();
    first.commit_all().await.unwrap();
    let refused = S::sql(&second, change).await.unwrap_err();
    assert!(refused.is_retryable(), "{refused:?}");
    let later = S::read(&second).await.unwrap_err();
    assert!(!later.is_retryable(), "{later:?}");
}

/// PostgreSQL does not count such a lock as a conflict.
pub(crate) async fn a_lock_that_was_not_free_is_retryable_if_it_is_run_again<
    S: Side,
    Other: Second,
>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, "").await;
    let mut holding = world.binds.session();
    S::write(&holding, "theirs").await.unwrap();
    let options = SessionOptions::new().lock_timeout(Duration::from_secs(1));
    let units = world.binds.with(options);
    let repeated = units
        .clone()
        .retrying(retry(2))
        .transaction::<_, Error, _>(async |session| S::write(session, "theirs").await)
        .await
        .unwrap_err();
    let session = units.session();
    let error = S::write(&session, "theirs").await.unwrap_err();
    assert_eq!(error.is_retryable(), repeated.attempts() == 2, "{error:?}");
    drop(session);
    holding.rollback_all().await.unwrap();
}

pub(crate) async fn nothing_else_is_run_again<S: Side, Other: Second>(pool: PoolKind) {
    let world = world::<S, Other>(pool, "").await;
    let retrying = world.binds.retrying(retry(5));
    let runs = AtomicU32::new(0);
    let count = || runs.fetch_add(1, Ordering::SeqCst);
    // The row exists already.
    let refused = retrying
        .transaction::<_, Error, _>(async |session| {
            count();
            S::write(session, "one").await
        })
        .await
        .unwrap_err();
    assert!(!refused.error().is_retryable(), "{refused:?}");
    assert_eq!((refused.attempts(), runs.swap(0, Ordering::SeqCst)), (1, 1));
    assert!(matches!(Error::from(refused), Error::Query { .. }));
    let refused = retrying
        .transaction::<(), Error, _>(async |session| {
            count();
            S::sql(session, "not SQL").await?;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(!refused.error().is_retryable(), "{refused:?}");
    assert_eq!((refused.attempts(), runs.swap(0, Ordering::SeqCst)), (1, 1));
    // A veto.
    let refused = retrying
        .transaction::<(), Error, _>(async |session| {
            count();
            S::write(session, "three").await?;
            session.before_commit(async |_| Err("no"));
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(matches!(
        refused.error(),
        Error::Commit(CommitError::Vetoed { .. })
    ));
    assert!(!refused.error().is_retryable(), "{refused:?}");
    assert_eq!((refused.attempts(), runs.swap(0, Ordering::SeqCst)), (1, 1));
    assert_eq!(S::rows(&world.databases[0]).await, ["one", "two"]);
}

/// A unit in doubt is not run again, neither for the error of its commit nor for an earlier conflict of a statement.
pub(crate) async fn nothing_in_doubt_is_run_again<S: Side, Other: Second>(pool: PoolKind) {
    let world = world::<S, Other>(pool, "").await;
    let mut holding = world.binds.session();
    S::write(&holding, "theirs").await.unwrap();
    let plan = FaultPlan::new().at("commit:after", Effect::Crash);
    let options = SessionOptions::new()
        .lock_timeout(Duration::from_secs(1))
        .faults(&plan);
    let runs = AtomicU32::new(0);
    let doubtful = world
        .binds
        .with(options)
        .retrying(retry(5))
        .transaction::<(), Error, _>(async |session| {
            runs.fetch_add(1, Ordering::SeqCst);
            S::write(session, "mine").await?;
            // Alone, this conflict would be retried.
            S::write(session, "theirs").await.unwrap_err();
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(doubtful.error().is_in_doubt(), "{doubtful:?}");
    assert!(!doubtful.error().is_retryable(), "{doubtful:?}");
    assert_eq!((doubtful.attempts(), runs.into_inner()), (1, 1));
    holding.rollback_all().await.unwrap();
    assert_eq!(S::rows(&world.databases[0]).await, ["one", "two", "mine"]);
}

/// The next attempt would begin after the deadline.
pub(crate) async fn nothing_is_run_again_after_the_deadline<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, "").await;
    let mut holding = world.binds.session();
    S::write(&holding, "theirs").await.unwrap();
    let options = SessionOptions::new()
        .lock_timeout(Duration::from_secs(1))
        .deadline(Duration::from_secs(20));
    let long = Duration::from_secs(30);
    let late = world
        .binds
        .with(options)
        .retrying(retry(5).delay(long, long))
        .transaction::<_, Error, _>(async |session| S::write(session, "theirs").await)
        .await
        .unwrap_err();
    assert_eq!(late.attempts(), 1);
    assert!(matches!(late.into_error(), Error::Query { .. }));
    holding.rollback_all().await.unwrap();
}

/// A connection that the closure still holds may still execute statements.
pub(crate) async fn a_unit_that_could_not_be_rolled_back_is_not_run_again<
    S: Side,
    Other: Second,
>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, "").await;
    let mut holding = world.binds.session();
    S::write(&holding, "theirs").await.unwrap();
    let options = SessionOptions::new().lock_timeout(Duration::from_secs(1));
    let runs = AtomicU32::new(0);
    let refused = world
        .binds
        .with(options)
        .retrying(retry(5))
        .transaction::<(), Error, _>(async |session| {
            runs.fetch_add(1, Ordering::SeqCst);
            S::write(session, "theirs").await.unwrap_err();
            std::mem::forget(session.connection(S::bind()).await?);
            Err(Error::InsideUnit)
        })
        .await
        .unwrap_err();
    assert_eq!((refused.attempts(), runs.into_inner()), (1, 1));
    holding.rollback_all().await.unwrap();
}

/// A later statement that succeeds clears the note of the conflict.
pub(crate) async fn a_unit_that_got_over_a_conflict_is_not_run_again<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, "").await;
    let mut holding = world.binds.session();
    S::write(&holding, "theirs").await.unwrap();
    let options = SessionOptions::new().lock_timeout(Duration::from_secs(1));
    let runs = AtomicU32::new(0);
    let refused = world
        .binds
        .with(options)
        .retrying(retry(5))
        .transaction::<(), Error, _>(async |session| {
            runs.fetch_add(1, Ordering::SeqCst);
            S::write(session, "theirs").await.unwrap_err();
            S::write(session, "mine").await?;
            Err(Error::InsideUnit)
        })
        .await
        .unwrap_err();
    assert_eq!((refused.attempts(), runs.into_inner()), (1, 1));
    assert!(matches!(refused.into_error(), Error::InsideUnit));
    holding.rollback_all().await.unwrap();
}
