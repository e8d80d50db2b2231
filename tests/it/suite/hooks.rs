//! Hooks at the end of a unit: each runs when it should, once, and changes nothing that is committed.

use std::error::Error as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel_binds::error::{AbortReason, Fault};
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{CommitError, Error, Session, SessionOptions};
use futures_util::FutureExt as _;
use kit::side::PoolKind;
use kit::world::Sides;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::timeout;

use crate::suite::cancel::Bench;
use crate::suite::polls::{Ran, at_every_poll};

/// The messages of hooks, in order.
#[derive(Clone)]
struct HookLog {
    sender: UnboundedSender<String>,
}

impl HookLog {
    fn new() -> (Self, UnboundedReceiver<String>) {
        let (sender, receiver) = unbounded_channel();
        (Self { sender }, receiver)
    }

    fn write(&self, what: &str) {
        self.sender.send(what.to_owned()).unwrap();
    }

    /// Adds hooks for both ends of a unit.
    fn add_hooks(&self, session: &Session, unit: &str) {
        let (log, text) = (self.clone(), format!("{unit} committed"));
        session.after_commit(async move |_| log.write(&text));
        let (log, text) = (self.clone(), format!("{unit} rolled back"));
        session.after_rollback(async move |_| log.write(&text));
    }
}

/// Returns the messages so far. All expected messages must have been sent.
fn received(messages: &mut UnboundedReceiver<String>) -> Vec<String> {
    std::iter::from_fn(|| messages.try_recv().ok()).collect()
}

/// Waits for the next message of a hook in the background.
async fn next(messages: &mut UnboundedReceiver<String>) -> String {
    let message = timeout(Duration::from_secs(40), messages.recv()).await;
    message.expect("a hook writes a message in time").unwrap()
}

async fn panics() {
    panic!("as it should be in this test")
}

#[derive(Debug, thiserror::Error)]
#[error("the hook of the test vetoes")]
struct Veto;

pub(crate) async fn hooks_run_at_the_end_of_their_unit_with_its_outcome<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    let (log, mut messages) = HookLog::new();
    let mut session = bench.session();
    // A unit without work commits as well.
    log.add_hooks(&session, "empty");
    session.commit_all().await.unwrap();
    assert_eq!(received(&mut messages), ["empty committed"]);

    let unit = session.unit();
    S::write(&session, "kept").await.unwrap();
    log.add_hooks(&session, "first");
    let argument = Arc::new(Mutex::new(None));
    let kept = Arc::clone(&argument);
    session.after_commit(async move |committed| *kept.lock().unwrap() = Some(committed));
    let committed = session.commit_all().await.unwrap();
    assert_eq!(received(&mut messages), ["first committed"]);
    assert_eq!(argument.lock().unwrap().take(), Some(committed.clone()));
    assert_eq!(committed.unit(), unit);

    // The hooks are gone with their unit.
    S::write(&session, "second").await.unwrap();
    session.commit_all().await.unwrap();
    S::write(&session, "gone").await.unwrap();
    log.add_hooks(&session, "third");
    session.rollback_all().await.unwrap();
    assert_eq!(received(&mut messages), ["third rolled back"]);
    S::write(&session, "gone").await.unwrap();
    log.add_hooks(&session, "fourth");
    drop(session);
    assert_eq!(next(&mut messages).await, "fourth rolled back");
    // The unit is rolled back by then.
    for rows in S::rows(&bench.world).await {
        assert_eq!(rows, ["kept", "second"]);
    }
    bench.assert_clean().await;
    assert_eq!(received(&mut messages), [""; 0]);
}

pub(crate) async fn hooks_run_at_the_end_of_their_closure_with_its_outcome<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    let (log, mut messages) = HookLog::new();
    let binds = bench.world.binds.clone();
    binds
        .transaction::<(), Error, _>(async |session| {
            log.add_hooks(session, "ok");
            S::write(session, "kept").await
        })
        .await
        .unwrap();
    assert_eq!(received(&mut messages), ["ok committed"]);
    let refused = binds
        .transaction::<(), Error, _>(async |session| {
            log.add_hooks(session, "error");
            S::write(session, "kept").await
        })
        .await;
    refused.unwrap_err();
    assert_eq!(received(&mut messages), ["error rolled back"]);
    let panicked =
        std::panic::AssertUnwindSafe(binds.transaction::<(), Error, _>(async |session| {
            log.add_hooks(session, "panic");
            S::write(session, "gone").await?;
            panic!("as it should be in this test")
        }))
        .catch_unwind()
        .await;
    assert!(panicked.is_err());
    assert_eq!(next(&mut messages).await, "panic rolled back");
    {
        let mut cut = std::pin::pin!(binds.transaction::<(), Error, _>(async |session| {
            S::write(session, "gone").await?;
            log.add_hooks(session, "cut");
            log.write("listens");
            std::future::pending().await
        }));
        tokio::select! {
            _ = &mut cut => unreachable!("it never ends"),
            message = next(&mut messages) => assert_eq!(message, "listens"),
        }
    }
    assert_eq!(next(&mut messages).await, "cut rolled back");
    bench.assert_clean().await;
    assert_eq!(received(&mut messages), [""; 0]);
}

/// The failure stands beside the success, never in its place, and the later hooks run.
pub(crate) async fn a_hook_that_fails_after_the_commit_is_reported_beside_it<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    let (log, mut messages) = HookLog::new();
    let mut session = bench.session();
    S::write(&session, "kept").await.unwrap();
    session.after_commit(async |_| Err(Veto));
    session.after_commit(async |_| panics().await);
    session.after_commit(|_| -> std::future::Ready<()> { panic!("before its first poll") });
    log.add_hooks(&session, "unit");
    let committed = session.commit_all().await.unwrap();
    assert_eq!(received(&mut messages), ["unit committed"]);
    assert!(bench.is_everywhere("kept").await);
    let failures: Vec<String> = committed
        .hook_failures()
        .iter()
        .map(|failure| {
            assert!(failure.registered_at().file().ends_with("hooks.rs"));
            assert!(failure.to_string().contains("hooks.rs:"), "{failure}");
            failure.source().unwrap().to_string()
        })
        .collect();
    assert_eq!(
        failures,
        [
            "the hook of the test vetoes",
            "it panicked: as it should be in this test",
            "it panicked: before its first poll"
        ]
    );
    // The same holds after a roll-back.
    S::write(&session, "gone").await.unwrap();
    session.after_rollback(async |_| panics().await);
    log.add_hooks(&session, "unit");
    session.rollback_all().await.unwrap();
    assert_eq!(received(&mut messages), ["unit rolled back"]);
    bench.assert_clean().await;
}

pub(crate) async fn a_hook_before_the_commit_takes_part_and_may_veto<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    let (log, mut messages) = HookLog::new();
    let mut session = bench.session();
    S::write(&session, "by the unit").await.unwrap();
    let writes = log.clone();
    session.before_commit(async move |session| {
        writes.write("asked");
        S::write(session, "by a hook").await?;
        assert!(matches!(
            session.commit_all().await,
            Err(CommitError::InsideTransaction)
        ));
        assert!(matches!(
            session.rollback_all().await,
            Err(CommitError::InsideTransaction)
        ));
        session.before_commit(async move |session| S::write(session, "by a hook of a hook").await);
        Ok::<_, Error>(())
    });
    session.commit_all().await.unwrap();
    for text in ["by the unit", "by a hook", "by a hook of a hook"] {
        assert!(bench.is_everywhere(text).await);
    }

    S::write(&session, "gone").await.unwrap();
    log.add_hooks(&session, "unit");
    session.before_commit(async |session| {
        S::write(session, "gone too").await.unwrap();
        Err(Veto)
    });
    session
        .before_commit(async |_| -> Result<(), Veto> { unreachable!("the hook before it vetoed") });
    let vetoed = session.commit_all().await.unwrap_err();
    assert!(vetoed.is_rolled_back() && !vetoed.is_in_doubt());
    assert!(vetoed.to_string().contains("hooks.rs:"), "{vetoed}");
    assert!(vetoed.source().unwrap().is::<Veto>());
    assert!(matches!(vetoed, CommitError::Vetoed { .. }));
    assert_eq!(received(&mut messages), ["asked", "unit rolled back"]);
    for text in ["gone", "gone too"] {
        assert!(!bench.is_everywhere(text).await);
    }
    // The veto was for that unit only.
    S::write(&session, "next").await.unwrap();
    session.commit_all().await.unwrap();
    // The same holds in a closure.
    let vetoed = bench
        .world
        .binds
        .transaction::<(), Error, _>(async |session| {
            session.before_commit(async |_| Err(Veto));
            S::write(session, "gone").await
        })
        .await;
    assert!(
        matches!(vetoed, Err(Error::Commit(CommitError::Vetoed { .. }))),
        "{vetoed:?}"
    );
    assert!(!bench.is_everywhere("gone").await);
    drop(session);
    bench.assert_clean().await;
}

/// The answer of a hook that was dropped or panicked is unknown.
pub(crate) async fn a_hook_that_did_not_say_yes_is_a_veto<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    let (log, mut messages) = HookLog::new();
    let mut session = bench.session();
    for ending in ["dropped", "panicked"] {
        S::write(&session, "gone").await.unwrap();
        log.add_hooks(&session, ending);
        session.before_commit(async move |_| {
            if ending == "panicked" {
                panic!("as it should be in this test");
            }
            std::future::pending::<Result<(), Veto>>().await
        });
        let left = std::panic::AssertUnwindSafe(async { session.commit_all().now_or_never() });
        match left.catch_unwind().await {
            Ok(dropped) => assert!(dropped.is_none()),
            Err(_) => assert_eq!(ending, "panicked"),
        }
        let refused = S::write(&session, "after it").await;
        assert!(
            matches!(
                refused,
                Err(Error::AbortOnly {
                    reason: AbortReason::Hook,
                    ..
                })
            ),
            "{refused:?}"
        );
        let refused = session.commit_all().await;
        assert!(
            matches!(
                refused,
                Err(CommitError::RolledBack {
                    source: Fault::Hook,
                    ..
                })
            ),
            "{refused:?}"
        );
        assert_eq!(received(&mut messages), [format!("{ending} rolled back")]);
    }
    assert!(!bench.is_everywhere("gone").await);
    drop(session);
    bench.assert_clean().await;
}

/// A dropped commit goes on, and so do its hooks.
pub(crate) async fn a_dropped_commit_still_runs_its_hooks<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    at_every_poll(async |moment| {
        let (log, mut messages) = HookLog::new();
        let text = bench.text();
        let mut session = bench.session();
        S::write(&session, &text).await.unwrap();
        log.add_hooks(&session, "unit");
        let output = moment.cut(session.commit_all()).await;
        drop(session);
        let message = next(&mut messages).await;
        let committed = !moment.is_before_all();
        let expected = if committed {
            "committed"
        } else {
            "rolled back"
        };
        assert_eq!(message, format!("unit {expected}"), "{moment:?}");
        bench.assert_clean().await;
        assert_eq!(bench.is_everywhere(&text).await, committed, "{moment:?}");
        assert_eq!(received(&mut messages), [""; 0]);
        Ran::from(&output)
    })
    .await;
}

/// No hook after the end runs until the outcome is certain.
pub(crate) async fn no_hook_runs_while_the_outcome_is_in_doubt<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    let lone = S::keys().len() == 1;
    let points = match lone {
        true => ["commit:before", "commit:after"],
        false => ["decide:before", "decide:after"],
    };
    for point in points {
        let (log, mut messages) = HookLog::new();
        let plan = FaultPlan::new().at(point, Effect::Crash);
        let options = SessionOptions::new().faults(&plan);
        let mut session = bench.world.binds.with(options).session();
        S::write(&session, point).await.unwrap();
        log.add_hooks(&session, "unit");
        let error = session.commit_all().await.unwrap_err();
        assert!(error.is_in_doubt(), "{error:?}");
        drop(session);
        drop(log);
        // The hooks are gone, and with them the senders of messages.
        assert_eq!(messages.recv().await, None, "{point}");
        bench.run_recovery(point).await;
        bench.assert_clean().await;
    }
}

pub(crate) async fn hooks_of_a_savepoint_share_its_fate<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    let (log, mut messages) = HookLog::new();
    let mut session = bench.session();
    S::write(&session, "kept").await.unwrap();
    log.add_hooks(&session, "unit");
    let undone = session
        .savepoint::<(), Error, _>(async |session| {
            log.add_hooks(session, "undone");
            session.before_commit(async |_| Err(Veto));
            session
                .savepoint::<(), Error, _>(async |session| {
                    log.add_hooks(session, "within");
                    Ok(())
                })
                .await?;
            S::write(session, "kept").await
        })
        .await;
    undone.unwrap_err();
    assert_eq!(
        received(&mut messages),
        ["undone rolled back", "within rolled back"]
    );
    session
        .savepoint::<(), Error, _>(async |session| {
            log.add_hooks(session, "part");
            Ok(())
        })
        .await
        .unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(
        received(&mut messages),
        ["unit committed", "part committed"]
    );
    drop(session);
    bench.assert_clean().await;
}
