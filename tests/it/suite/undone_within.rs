//! A transaction that the application ends within a hook at the begin, before a deadline, in a joined unit or in a
//! scope: no result claims that nothing is kept, unless that is true.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel_async::{AsyncConnection, SimpleAsyncConnection as _, TransactionManager};
use diesel_binds::{
    Bind, BindOptions, CommitError, Error, OuterConnection, Session, SessionOptions, current,
};
use futures_util::FutureExt as _;
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World, urls};

use crate::suite::second::Second;

type Connection<S> = <<S as Side>::Bind as Bind>::Connection;
type Manager<S> = <Connection<S> as AsyncConnection>::TransactionManager;

/// The report about a unit: whether nothing of it is kept, and its text.
type Claim = Option<(bool, String)>;

fn of_commit(ended: &Result<impl std::fmt::Debug, CommitError>) -> Claim {
    let undone = ended.as_ref().is_err_and(CommitError::is_rolled_back);
    Some((undone, format!("{ended:?}")))
}

fn of_rollback(ended: &Result<(), CommitError>) -> Claim {
    let undone = ended.as_ref().err().is_none_or(CommitError::is_rolled_back);
    Some((undone, format!("{ended:?}")))
}

/// Records whether the hook after a roll-back runs.
fn listen(session: &Session) -> Arc<AtomicBool> {
    let hook_ran = Arc::new(AtomicBool::new(false));
    let by_hook = Arc::clone(&hook_ran);
    session.after_rollback(async move |_| by_hook.store(true, Ordering::SeqCst));
    hook_ran
}

/// Asserts that a row that is kept was not reported as undone.
fn assert_report_is_true(what: &str, is_kept: bool, hook_ran: &AtomicBool, claim: Claim) {
    if !is_kept {
        return;
    }
    let hook_ran = hook_ran.load(Ordering::SeqCst);
    assert!(
        !hook_ran,
        "{what}: a hook after the roll-back ran: {claim:?}"
    );
    if let Some((undone, words)) = claim {
        assert!(
            !undone,
            "{what}: the row is there, and the unit said {words}"
        );
    }
}

/// The next step of a hook at the begin after its `COMMIT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Fails,
    BeginsAndFails,
    Panics,
    Hangs,
    HangsBeyondTheDeadline,
}

/// The end of the unit after that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Commit,
    RollBack,
    Drop,
    BestEffort,
    Savepoint,
}

/// The hook at the begin commits and then fails: its writes are kept, and the unit reports that.
pub(crate) async fn a_commit_within_a_hook_is_never_reported_as_rolled_back<
    S: Side,
    Other: Second,
>(
    pool: PoolKind,
) {
    let all = [
        Then::Fails,
        Then::BeginsAndFails,
        Then::Panics,
        Then::Hangs,
        Then::HangsBeyondTheDeadline,
    ];
    let ends = [
        End::Commit,
        End::RollBack,
        End::Drop,
        End::BestEffort,
        End::Savepoint,
    ];
    let databases = <Other::With<S> as Sides>::databases().await;
    let (database, urls) = (&databases[0], urls(&databases));
    let mut committed = 0;
    for (number, (then, end)) in all
        .into_iter()
        .flat_map(|then| ends.map(|end| (then, end)))
        .enumerate()
    {
        let text = format!("hook {number}");
        let row = text.clone();
        let builder = World::builder::<Other::With<S>>()
            .pool(pool)
            .size(1)
            .size_of(0, 2);
        // Two writers that cannot prepare are committed one after the other.
        let builder = match end {
            End::BestEffort => builder.options(&BindOptions::new().never_prepare()),
            _ => builder,
        };
        let builder = builder.binds(|binds| {
            binds.after_begin(S::bind(), move |connection| {
                let insert = format!("INSERT INTO notes (text) VALUES ('{row}')");
                Box::pin(async move {
                    connection.batch_execute(&insert).await?;
                    // Within a branch, MariaDB refuses the `COMMIT`.
                    let _ = connection.batch_execute("COMMIT").await;
                    match then {
                        Then::Fails => {}
                        Then::BeginsAndFails => drop(connection.batch_execute("BEGIN").await),
                        Then::Panics => panic!("as it should be in this test"),
                        Then::Hangs | Then::HangsBeyondTheDeadline => std::future::pending().await,
                    }
                    Err(diesel::result::Error::RollbackTransaction)
                })
            })
        });
        let binds = builder.connect(&urls).await;
        let options = SessionOptions::new().best_effort();
        let options = match then {
            Then::HangsBeyondTheDeadline => options.deadline(Duration::from_secs(1)),
            _ => options,
        };
        let mut session = binds.with(options).session();
        Other::write(&session, &text).await.unwrap();
        let hook_ran = listen(&session);
        let begun = async {
            match end {
                End::Savepoint => {
                    session
                        .savepoint::<(), Error, _>(async |session| {
                            S::write(session, "late").await.map(drop)
                        })
                        .await
                }
                _ => S::write(&session, "late").await.map(drop),
            }
        };
        let limit = match then {
            Then::Hangs => Duration::from_secs(1),
            _ => Duration::from_secs(60),
        };
        let begun = std::panic::AssertUnwindSafe(tokio::time::timeout(limit, begun))
            .catch_unwind()
            .await;
        let what = format!("{then:?}, {end:?}");
        assert!(!matches!(begun, Ok(Ok(Ok(())))), "{what}");
        let claim = match end {
            End::Commit | End::BestEffort | End::Savepoint => {
                of_commit(&session.commit_all().await)
            }
            End::RollBack => of_rollback(&session.rollback_all().await),
            End::Drop => {
                drop(session);
                None
            }
        };
        // A dropped session ends in the background.
        binds.close().await;
        let is_kept = S::rows(database).await.contains(&text);
        committed += usize::from(is_kept);
        assert_report_is_true(&what, is_kept, &hook_ran, claim);
        assert!(
            !S::rows(database).await.contains(&"late".to_owned()),
            "{what}"
        );
    }
    // If nothing was committed anywhere, the test proves nothing.
    assert!(committed > 0 || databases.len() == 2);
}

/// The application runs `COMMIT` in text, and then a statement that the deadline ends.
pub(crate) async fn a_commit_before_a_deadline_is_never_reported_as_rolled_back<S: Side>(
    pool: PoolKind,
) where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    for (number, end) in [End::Commit, End::RollBack, End::Drop, End::BestEffort]
        .into_iter()
        .enumerate()
    {
        let text = format!("mine {number}");
        let options = SessionOptions::new()
            .best_effort()
            .deadline(Duration::from_secs(1));
        let mut session = world.binds.with(options).session();
        let hook_ran = listen(&session);
        S::write(&session, &text).await.unwrap();
        S::sql(&session, "COMMIT").await.unwrap();
        // If the unit has noticed the end, the statement does not run.
        let late = S::sql(&session, S::SLOW).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let claim = match end {
            End::Commit | End::BestEffort | End::Savepoint => {
                of_commit(&session.commit_all().await)
            }
            End::RollBack => of_rollback(&session.rollback_all().await),
            End::Drop => {
                drop(session);
                None
            }
        };
        tokio::time::sleep(Duration::from_millis(500)).await;
        let is_kept = S::rows(&world.databases[0]).await.contains(&text);
        assert!(is_kept, "{late:?}");
        assert_report_is_true(
            &format!("{end:?} after {late:?}"),
            is_kept,
            &hook_ran,
            claim,
        );
    }
    world.binds.close().await;
}

/// The unit is in a transaction of the application, and a `COMMIT` of the unit has ended that transaction.
pub(crate) async fn a_commit_within_a_joined_unit_is_never_reported_as_rolled_back<S: Side>(
    pool: PoolKind,
) where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    let url = world.databases[0].url();
    let texts = ["COMMIT", "COMMIT AND CHAIN", "COMMIT; BEGIN"];
    let ends = [
        End::Commit,
        End::RollBack,
        End::Drop,
        End::BestEffort,
        End::Savepoint,
    ];
    for (number, (by, end)) in texts
        .iter()
        .flat_map(|by| ends.map(|end| (by, end)))
        .enumerate()
    {
        let text = format!("mine {number}");
        let mut connection = Connection::<S>::establish(url).await.unwrap();
        Manager::<S>::begin_transaction(&mut connection)
            .await
            .unwrap();
        let outer = OuterConnection::new(connection);
        let options = SessionOptions::new()
            .best_effort()
            .within(S::bind(), &outer);
        let mut session = world.binds.with(options).session();
        let hook_ran = listen(&session);
        S::write(&session, &text).await.unwrap();
        match session.connection(S::bind()).await {
            Ok(mut raw) => drop(raw.raw().unwrap().batch_execute(by).await),
            Err(error) => panic!("{error:?}"),
        }
        if end == End::Savepoint {
            let _ = session
                .savepoint::<(), Error, _>(async |_| Err(Error::InsideUnit))
                .await;
        }
        let claim = match end {
            End::Commit | End::BestEffort | End::Savepoint => {
                of_commit(&session.commit_all().await)
            }
            End::RollBack => of_rollback(&session.rollback_all().await),
            End::Drop => {
                drop(session);
                None
            }
        };
        tokio::time::sleep(Duration::from_millis(100)).await;
        // Without the outer transaction, the rows that are there were committed.
        drop(outer);
        tokio::time::sleep(Duration::from_millis(100)).await;
        let is_kept = S::rows(&world.databases[0]).await.contains(&text);
        assert_report_is_true(&format!("{by}, {end:?}"), is_kept, &hook_ran, claim);
    }
    world.binds.close().await;
}

/// The unit of a scope ends with the scope, unless it was ended before.
pub(crate) async fn a_commit_within_a_scope_is_never_reported_as_rolled_back<S: Side>(
    pool: PoolKind,
) where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    for (number, end) in [End::Commit, End::RollBack, End::Drop]
        .into_iter()
        .enumerate()
    {
        let text = format!("mine {number}");
        let (hook_ran, claim) = world
            .binds
            .scope(async {
                let scope = current().unwrap();
                let hook_ran = {
                    let session = scope.lock().unwrap();
                    S::write(&session, &text).await.unwrap();
                    S::sql(&session, "COMMIT").await.unwrap();
                    listen(&session)
                };
                let claim = match end {
                    End::Commit => match scope.commit_all().await {
                        Err(Error::Commit(error)) => of_commit(&Err::<(), _>(error)),
                        ended => panic!("{ended:?}"),
                    },
                    End::RollBack => match scope.rollback_all().await {
                        Err(Error::Commit(error)) => of_rollback(&Err(error)),
                        ended => panic!("{ended:?}"),
                    },
                    _ => None,
                };
                (hook_ran, claim)
            })
            .await;
        let is_kept = S::rows(&world.databases[0]).await.contains(&text);
        assert!(is_kept);
        assert_report_is_true(&format!("{end:?}"), is_kept, &hook_ran, claim);
    }
    world.binds.close().await;
}
