//! Hooks and closures that call a function which waits for them: each ends with an error that names the remedy, and
//! nothing hangs.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use diesel::result::Error as DieselError;
use diesel_binds::error::{Fault, PoolError};
use diesel_binds::testing::Sandbox;
use diesel_binds::{
    Bind, BindOptions, Binds, CommitError, Error, Retry, Session, SessionOptions, current,
};
use kit::database::Database;
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World};
use tokio::time::timeout;

/// Long enough for a loaded machine: a call that hangs never ends.
const LONG: Duration = Duration::from_secs(60);

/// Returns the result of work that must end.
async fn ends<T>(what: &str, work: impl Future<Output = T>) -> T {
    let ended = timeout(LONG, work).await;
    ended.unwrap_or_else(|_| panic!("it hangs: {what}"))
}

/// Returns binds with a pool of one connection and a short checkout timeout.
async fn alone<S: Side>(pool: PoolKind) -> (Binds, Database) {
    let database = S::database().await;
    let builder = Binds::builder()
        .namespace("reentry")
        .checkout_timeout(Duration::from_secs(2));
    let builder = S::register(builder, database.url(), pool, 1, BindOptions::new()).await;
    (builder.build().unwrap(), database)
}

/// The place from which `close` is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Caller {
    BeforeCommit,
    AfterCommit,
    AfterCommitOfAnother,
    AfterRollback,
    AfterDrop,
    AfterSavepoint,
    Transaction,
    Retried,
    Scope,
}

impl Caller {
    const ALL: [Self; 9] = [
        Self::BeforeCommit,
        Self::AfterCommit,
        Self::AfterCommitOfAnother,
        Self::AfterRollback,
        Self::AfterDrop,
        Self::AfterSavepoint,
        Self::Transaction,
        Self::Retried,
        Self::Scope,
    ];

    /// Calls `close` in a unit that writes a row. Returns whether the row must be kept.
    async fn close<S: Side>(self, binds: &Binds) -> bool {
        let closes = binds.clone();
        let mut session = binds.session();
        match self {
            Self::BeforeCommit => {
                S::write(&session, "row").await.unwrap();
                session.before_commit(async move |_| {
                    closes.close().await;
                    Ok::<_, Error>(())
                });
                session.commit_all().await.unwrap();
                true
            }
            Self::AfterCommit => {
                S::write(&session, "row").await.unwrap();
                session.after_commit(async move |_| closes.close().await);
                let committed = session.commit_all().await.unwrap();
                assert!(committed.hook_failures().is_empty());
                true
            }
            Self::AfterCommitOfAnother => {
                S::write(&session, "row").await.unwrap();
                session.after_commit(async move |_| {
                    let mut other = closes.session();
                    S::write(&other, "other").await?;
                    other.after_commit(async move |_| closes.close().await);
                    other.commit_all().await.map(drop).map_err(Error::from)
                });
                let committed = session.commit_all().await.unwrap();
                assert!(committed.hook_failures().is_empty(), "{committed:?}");
                true
            }
            Self::AfterRollback | Self::AfterDrop => {
                S::write(&session, "row").await.unwrap();
                let (closed, is_closed) = tokio::sync::oneshot::channel();
                session.after_rollback(async move |_| {
                    closes.close().await;
                    closed.send(()).unwrap();
                });
                match self {
                    Self::AfterDrop => drop(session),
                    _ => session.rollback_all().await.unwrap(),
                }
                is_closed.await.unwrap();
                false
            }
            Self::AfterSavepoint => {
                S::write(&session, "row").await.unwrap();
                let undone = session
                    .savepoint::<(), Error, _>(async |session| {
                        let closes = closes.clone();
                        session.after_rollback(async move |_| closes.close().await);
                        Err(Error::InsideUnit)
                    })
                    .await;
                assert!(matches!(undone, Err(Error::InsideUnit)), "{undone:?}");
                session.commit_all().await.unwrap();
                true
            }
            Self::Transaction => {
                binds
                    .transaction::<(), Error, _>(async |session| {
                        S::write(session, "row").await?;
                        closes.close().await;
                        Ok(())
                    })
                    .await
                    .unwrap();
                true
            }
            Self::Retried => {
                binds
                    .retrying(Retry::new())
                    .transaction::<(), Error, _>(async |session| {
                        S::write(session, "row").await?;
                        closes.close().await;
                        Ok(())
                    })
                    .await
                    .unwrap();
                true
            }
            Self::Scope => {
                binds
                    .scope(async {
                        S::write(&current().unwrap().lock().unwrap(), "row")
                            .await
                            .unwrap();
                        closes.close().await;
                        current().unwrap().commit_all().await.unwrap();
                    })
                    .await;
                true
            }
        }
    }
}

/// `close` waits for running units, and so for the unit in whose hook it is called.
pub(crate) async fn binds_can_be_closed_anywhere<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    for caller in Caller::ALL {
        let world = World::of::<(S,)>(pool).await;
        let what = format!("close in {caller:?}");
        let kept = ends(&what, caller.close::<S>(&world.binds)).await;
        let rows = S::rows(&world.databases[0]).await;
        assert_eq!(rows.contains(&"row".to_owned()), kept, "{caller:?}");
        let refused = S::write(&world.binds.session(), "late").await;
        assert!(
            matches!(refused, Err(Error::Closed { .. })),
            "{caller:?}: {refused:?}"
        );
        // Elsewhere, it waits as usual.
        ends(&what, world.binds.close()).await;
    }
}

/// The way in which a hook at the begin reaches its own bind.
#[derive(Clone, Copy, Debug)]
enum By {
    Current,
    Session,
    Transaction,
    Connection,
    Enlisted,
}

/// The hook would wait for its own begin, or begin again and again.
pub(crate) async fn a_hook_at_the_begin_cannot_use_its_own_bind<S: Side>(pool: PoolKind) {
    for by in [
        By::Current,
        By::Session,
        By::Transaction,
        By::Connection,
        By::Enlisted,
    ] {
        for size in [1, 4] {
            let database = S::database().await;
            let place = Arc::new(OnceLock::<Binds>::new());
            let said = Arc::new(Mutex::new(None));
            let (within, notes) = (Arc::clone(&place), Arc::clone(&said));
            let builder = Binds::builder().namespace("reentry");
            let builder = builder.after_begin(S::bind(), move |_| {
                let (binds, notes) = (within.get().unwrap().clone(), Arc::clone(&notes));
                Box::pin(async move {
                    let session = binds.session();
                    let refused = match by {
                        By::Current => {
                            let scope = current().expect("the query that begins is in a scope");
                            scope_write::<S>(&scope).await
                        }
                        By::Session => S::write(&session, "hook").await.map(drop),
                        By::Transaction => {
                            binds
                                .transaction::<(), Error, _>(async |session| {
                                    S::write(session, "hook").await.map(drop)
                                })
                                .await
                        }
                        By::Connection => session.connection(S::bind()).await.map(drop),
                        By::Enlisted => {
                            let options = SessionOptions::new().uses(S::bind());
                            let session = binds.with(options).session();
                            S::read(&session).await.map(drop)
                        }
                    };
                    *notes.lock().unwrap() = refused.as_ref().err().map(ToString::to_string);
                    refused.map_err(|error| DieselError::QueryBuilderError(Box::new(error)))
                })
            });
            let builder = S::register(builder, database.url(), pool, size, BindOptions::new());
            let binds = builder.await.build().unwrap();
            place.set(binds.clone()).unwrap();
            let what = format!("{by:?} in a hook, in a pool of {size}");
            let failed = ends(
                &what,
                binds.scope(async { scope_write::<S>(&current().unwrap()).await }),
            )
            .await;
            assert!(
                matches!(failed, Err(Error::AfterBegin { bind, .. }) if bind == S::Bind::KEY),
                "{what}: {failed:?}"
            );
            let said = said.lock().unwrap().take().unwrap();
            assert!(
                said.contains(&format!("`{}`", S::Bind::KEY))
                    && said.contains("connection that the hook gets"),
                "{what}: {said}"
            );
            assert_eq!(S::rows(&database).await, [""; 0]);
        }
    }
}

/// Runs a query in text on a scope.
async fn scope_write<S: Side>(scope: &diesel_binds::Scope) -> Result<(), Error> {
    let query = diesel::sql_query("INSERT INTO notes (text) VALUES ('scope')");
    S::on_scope(scope, query).await
}

/// The hook never ends, and the unit has a deadline.
pub(crate) async fn a_hook_ends_with_the_deadline_of_its_unit<S: Side>(pool: PoolKind) {
    let (binds, database) = alone::<S>(pool).await;
    let hasty = || SessionOptions::new().deadline(Duration::from_secs(2));
    let mut session = binds.with(hasty()).session();
    S::write(&session, "vetoed").await.unwrap();
    let line = line!() + 1;
    session.before_commit(async |_| std::future::pending::<Result<(), Error>>().await);
    let refused = ends("a hook before the commit", session.commit_all()).await;
    let Err(CommitError::RolledBack {
        source: Fault::HookTimedOut { registered_at },
        ..
    }) = refused
    else {
        panic!("{refused:?}");
    };
    assert_eq!(
        (registered_at.file(), registered_at.line()),
        (file!(), line)
    );
    let mut session = binds.with(hasty()).session();
    S::write(&session, "kept").await.unwrap();
    session.after_commit(async |_| std::future::pending::<()>().await);
    // The later hooks run.
    session.after_commit(async |_| Err::<(), _>("failed on purpose"));
    let committed = ends("a hook after the commit", session.commit_all()).await;
    let committed = committed.unwrap();
    let failures: Vec<String> = committed
        .hook_failures()
        .iter()
        .map(|failure| format!("{failure:?}"))
        .collect();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(failures[0].contains("deadline"), "{failures:?}");
    assert!(failures[1].contains("failed on purpose"), "{failures:?}");

    S::write(&session, "gone").await.unwrap();
    session.after_rollback(async |_| std::future::pending::<()>().await);
    ends("a hook after a roll-back", session.rollback_all())
        .await
        .unwrap();
    let undone = ends(
        "a hook of a savepoint",
        session.savepoint::<(), Error, _>(async |session| {
            session.after_rollback(async |_| std::future::pending::<()>().await);
            Err(Error::InsideUnit)
        }),
    )
    .await;
    assert!(matches!(undone, Err(Error::InsideUnit)), "{undone:?}");
    drop(session);
    ends("the close behind all of them", binds.close()).await;
    assert_eq!(S::rows(&database).await, ["kept"]);
}

/// The calls that a hook before the commit may make, and those that fail.
pub(crate) async fn a_hook_before_the_commit_ends_whatever_it_calls<S: Side>(pool: PoolKind) {
    let (binds, database) = alone::<S>(pool).await;
    // The hook ends its own unit.
    let mut session = binds.session();
    S::write(&session, "one").await.unwrap();
    session.before_commit(async |session: &mut Session| {
        let committed = session.commit_all().await;
        assert!(matches!(committed, Err(CommitError::InsideTransaction)));
        let undone = session.rollback_all().await;
        assert!(matches!(undone, Err(CommitError::InsideTransaction)));
        let committed = session.commit_only(S::bind()).await;
        assert!(matches!(
            committed,
            Err(Error::Commit(CommitError::InsideTransaction))
        ));
        Ok::<_, Error>(())
    });
    ends("ends in a hook", session.commit_all()).await.unwrap();

    // The hook uses another session, which needs the connection of this one.
    let others = binds.clone();
    S::write(&session, "two").await.unwrap();
    session.before_commit(async move |_| {
        let refused = S::write(&others.session(), "other").await;
        assert!(
            matches!(
                &refused,
                Err(Error::Pool {
                    source: PoolError::TimedOut(_),
                    ..
                })
            ),
            "{refused:?}"
        );
        Ok::<_, Error>(())
    });
    ends("a session in a hook", session.commit_all())
        .await
        .unwrap();

    // The hook runs recovery, which has connections of its own.
    let others = binds.clone();
    S::write(&session, "three").await.unwrap();
    session.before_commit(async move |_| {
        let pass = others.recovery().run().await;
        assert!(pass.is_complete(), "{pass}");
        Ok::<_, Error>(())
    });
    let others = binds.clone();
    session.after_commit(async move |committed| {
        let pass = others.recovery().run().await;
        assert!(pass.is_complete(), "{pass}");
        if let Some(gid) = committed.gid() {
            others.recovery().resolve(gid).await.unwrap();
        }
        // The connections are back in the pool.
        let mut session = others.session();
        S::write(&session, "four").await.unwrap();
        session.commit_all().await.unwrap();
        others
            .scope(async {
                S::write(&current().unwrap().lock().unwrap(), "five")
                    .await
                    .unwrap();
                current().unwrap().commit_all().await.unwrap();
            })
            .await;
    });
    let committed = ends("recovery in hooks", session.commit_all())
        .await
        .unwrap();
    assert!(committed.hook_failures().is_empty(), "{committed:?}");

    // The hook uses the session of a scope, which is in use by its own commit.
    let ended = ends(
        "the scope in its own commit",
        binds.scope(async {
            S::write(&*current()?.lock()?, "six").await?;
            current()?.lock()?.before_commit(async |session| {
                let scope = current()?;
                assert!(matches!(scope.lock(), Err(Error::SessionInUse)));
                assert!(matches!(scope.commit_all().await, Err(Error::SessionInUse)));
                assert!(matches!(
                    scope_write::<S>(&scope).await,
                    Err(Error::SessionInUse)
                ));
                S::write(session, "seven").await.map(drop)
            });
            current()?.lock()?.after_commit(async |_| {
                assert!(matches!(current(), Err(Error::NoScope)));
            });
            current()?.commit_all().await
        }),
    )
    .await;
    assert!(ended.unwrap().hook_failures().is_empty());
    assert_eq!(
        S::rows(&database).await,
        ["one", "two", "three", "four", "five", "six", "seven"]
    );
}

/// The hook of a unit in a sandbox ends the sandbox.
#[cfg(feature = "testing")]
pub(crate) async fn a_sandbox_can_be_ended_by_a_hook<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    for rolls_back in [false, true] {
        let sandbox = Sandbox::of(&world.binds)
            .bind(S::bind())
            .start()
            .await
            .unwrap();
        let mut session = sandbox.binds().session();
        S::write(&session, "row").await.unwrap();
        let ended = Arc::new(Mutex::new(None));
        let notes = Arc::clone(&ended);
        let end = async move || *notes.lock().unwrap() = Some(sandbox.end().await);
        if rolls_back {
            session.after_rollback(async move |_| end().await);
            ends("the end of a sandbox", session.rollback_all())
                .await
                .unwrap();
        } else {
            session.after_commit(async move |_| end().await);
            let committed = ends("the end of a sandbox", session.commit_all()).await;
            assert!(committed.unwrap().hook_failures().is_empty());
        }
        let ended = ended.lock().unwrap().take();
        assert!(matches!(ended, Some(Ok(()))), "{ended:?}");
    }
    assert_eq!(S::rows(&world.databases[0]).await, [""; 0]);
}
