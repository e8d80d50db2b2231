//! A synchronous standby is away while a unit commits: the commit waits for it, and is not reported as done.

use std::sync::Arc;
use std::time::Duration;

use diesel_binds::config::HolderPreference;
use diesel_binds::error::Fault;
use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{BindOptions, Binds, Commit, CommitError, Gid, SessionOptions};
use kit::prepared::prepared;
use kit::side::{PostgresA, PostgresB};
use kit::world::Sides;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::durable::replicated::{HolderSide, LONG, Replicated, rows};

type Two = (PostgresA, PostgresB);

async fn commit<S: Sides>(
    binds: &Binds,
    options: SessionOptions,
    text: &str,
) -> Result<Commit, CommitError> {
    let mut session = binds.with(options).session();
    S::write(&session, text).await.unwrap();
    session.commit_all().await
}

fn in_doubt(result: Result<Commit, CommitError>) -> Gid {
    match result {
        Err(CommitError::InDoubt { gid, .. }) => *gid,
        other => panic!("a commit that waits for its standby ended as {other:?}"),
    }
}

/// Leaves a unit whose holder waits for the standby.
async fn left_in_doubt(world: &Replicated, options: SessionOptions, text: &str) -> Gid {
    let binds = world.both(HolderSide::Replicated).await;
    let gid = in_doubt(commit::<Two>(&binds, options, text).await);
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert_eq!(
        (pass.recovered.len(), pass.in_doubt.len()),
        (0, 1),
        "{pass}"
    );
    assert!(binds.recovery().resolve(&gid).await.is_err());
    let rows = world.rows().await.concat();
    assert!(!rows.contains(&text.to_owned()), "{rows:?}");
    gid
}

/// Runs recovery until nothing is in doubt.
async fn recovers(binds: &Binds) {
    let end = Instant::now() + LONG;
    loop {
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        if pass.is_complete() {
            return;
        }
        assert!(Instant::now() < end, "{pass}");
    }
}

/// Asserts that the unit was rolled back, and that its part on the replicated server waits for recovery.
fn rolled_back_later(result: &Result<Commit, CommitError>) {
    assert!(
        matches!(result, Err(CommitError::RolledBack { pending, .. }) if pending == &["pg-a"]),
        "{result:?}"
    );
}

/// Starts the standby, runs recovery, and asserts that both databases have the same rows.
async fn recovers_equal(world: &mut Replicated, binds: &Binds) {
    world.comes_back().await;
    recovers(binds).await;
    let [replicated, other] = world.rows().await;
    assert_eq!(replicated, other);
}

/// Regression test: the decision was cancelled. It became visible without reaching the standby, and the fence trusted
/// it.
#[tokio::test]
async fn a_decision_that_waits_for_its_standby_is_in_doubt_until_that_is_back() {
    let mut world = Replicated::new().await;
    for (text, limit) in [("waits", None), ("is limited", Some(300))] {
        let mut options = SessionOptions::new();
        if let Some(limit) = limit {
            // The limit must not apply to that wait.
            let limit = Duration::from_millis(limit);
            world.alter_database("SET statement_timeout = 300").await;
            options = options.statement_timeout(limit);
        }
        world.standby.stop();
        let gid = left_in_doubt(&world, options, text).await;
        world.comes_back().await;
        let binds = world.both(HolderSide::Replicated).await;
        recovers(&binds).await;
        assert_eq!(
            binds.recovery().resolve(&gid).await.unwrap(),
            Outcome::Committed
        );
        let [replicated, other] = world.rows().await;
        assert_eq!(replicated, other);
        assert!(replicated.contains(&text.to_owned()), "{replicated:?}");
    }
}

/// PostgreSQL reports a commit or a prepare as done whose wait for the standby an operator has cancelled.
#[tokio::test]
async fn a_wait_that_an_operator_cancels_confirms_nothing_where_replication_is_required() {
    let mut world = Replicated::new().await;
    for (preference, text) in [
        (HolderPreference::Prefer, "decided"),
        (HolderPreference::Avoid, "prepared"),
    ] {
        let options = BindOptions::new().holder(preference);
        let options = options.require_synchronous_replication();
        let binds = world.both_with(&world.url(), options).await;
        // Nothing but the prepare or the decision is to wait.
        let warm = format!("warm {text}");
        let warm = commit::<Two>(&binds, SessionOptions::new(), &warm).await;
        assert!(warm.unwrap().committed().unwrap().pending().is_empty());
        world.standby.stop();
        let cancel = async {
            world.wait_until_waiting(1).await;
            world.cancel_waiting().await;
        };
        let committing = commit::<Two>(&binds, SessionOptions::new(), text);
        let (result, ()) = tokio::join!(committing, cancel);
        match preference {
            HolderPreference::Prefer => {
                in_doubt(result);
            }
            _ => rolled_back_later(&result),
        }
        recovers_equal(&mut world, &binds).await;
    }
    assert_eq!(
        world.rows().await[0],
        ["warm decided", "decided", "warm prepared"]
    );
}

#[tokio::test]
async fn a_decision_that_never_reached_the_standby_is_rolled_back_by_that() {
    let mut world = Replicated::new().await;
    world.standby.stop();
    let gid = left_in_doubt(&world, SessionOptions::new(), "lost").await;
    world.primary.stop();
    world.standby.start().await;
    world.standby.promote().await;
    let url = world.standby_url();
    let binds = world.both_at(&url, HolderSide::Replicated).await;
    recovers(&binds).await;
    assert_eq!(
        binds.recovery().resolve(&gid).await.unwrap(),
        Outcome::RolledBack
    );
    assert!(world.rows_at(&url).await.concat().is_empty());
}

/// After a restart, PostgreSQL shows a commit that waited for its standby, even if the standby does not have it.
#[tokio::test]
async fn a_decision_that_can_be_seen_is_not_believed_before_the_standby_has_it() {
    let mut world = Replicated::new().await;
    world.standby.stop();
    let gid = left_in_doubt(&world, SessionOptions::new(), "seen").await;
    world.primary.stop();
    world.primary.start().await;
    assert_eq!(rows(&world.url()).await, ["seen"]);
    let binds = world.both(HolderSide::Replicated).await;
    for _ in 0..3 {
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        assert_eq!(
            (pass.recovered.len(), pass.in_doubt.len()),
            (0, 1),
            "{pass}"
        );
        let resolved = binds.recovery().resolve(&gid).await.unwrap_err();
        assert!(
            matches!(resolved.source, Fault::Unconfirmed),
            "{resolved:?}"
        );
        let asked = binds.recovery().outcome_of(&gid).await.unwrap_err();
        assert!(matches!(asked.source, Fault::Unconfirmed), "{asked:?}");
    }
    // None of these questions goes on waiting in the server.
    world.wait_until_waiting(0).await;
    world.comes_back().await;
    recovers(&binds).await;
    assert_eq!(
        binds.recovery().outcome_of(&gid).await.unwrap(),
        Some(Outcome::Committed)
    );
    assert_eq!(world.rows().await, [["seen"]; 2]);
}

#[tokio::test]
async fn a_lone_commit_that_waits_is_not_called_committed() {
    let mut world = Replicated::new().await;
    let alone = world.alone(&BindOptions::new()).await;
    world.standby.stop();
    let result = commit::<(PostgresA,)>(&alone, SessionOptions::new(), "alone").await;
    assert!(
        matches!(result, Err(CommitError::Unknown { .. })),
        "{result:?}"
    );
    world.wait_until_waiting(1).await;
    assert!(rows(&world.url()).await.is_empty());
    world.comes_back().await;
    assert_eq!(rows(&world.url()).await, ["alone"]);

    let recorded = world.alone(&BindOptions::new().record_every_commit()).await;
    world.standby.stop();
    let options = SessionOptions::new().statement_timeout(Duration::from_millis(300));
    let gid = in_doubt(commit::<(PostgresA,)>(&recorded, options, "recorded").await);
    assert_eq!(rows(&world.url()).await, ["alone"]);
    world.comes_back().await;
    assert_eq!(
        recorded.recovery().resolve(&gid).await.unwrap(),
        Outcome::Committed
    );
    assert_eq!(rows(&world.url()).await, ["alone", "recorded"]);
}

#[tokio::test]
async fn a_participant_that_waits_is_rolled_back_or_pending() {
    let mut world = Replicated::new().await;
    let options = SessionOptions::new;
    for setting in ["on", "local"] {
        // A session may let its commits go ahead of the standby. The steps of a unit of several writers may not.
        world
            .alter_database(&format!("SET synchronous_commit = {setting}"))
            .await;
        let binds = world.both(HolderSide::Other).await;
        // Only the prepare is to wait.
        let warm = commit::<Two>(&binds, options(), &format!("warm {setting}")).await;
        assert!(warm.unwrap().committed().unwrap().pending().is_empty());
        world.standby.stop();
        let result = commit::<Two>(&binds, options(), "prepares").await;
        rolled_back_later(&result);
        recovers_equal(&mut world, &binds).await;
    }

    world.alter_database("RESET synchronous_commit").await;
    let binds = world.both(HolderSide::Other).await;
    let world = Arc::new(Mutex::new(world));
    let stopping = Arc::clone(&world);
    let stop = Effect::call(move |_| {
        let stopping = Arc::clone(&stopping);
        async move { stopping.lock().await.standby.stop() }
    });
    let plan = FaultPlan::new().at("apply:pg-a:before", stop);
    let committed = commit::<Two>(&binds, options().faults(&plan), "applied").await;
    let committed = committed.unwrap();
    assert_eq!(committed.committed().unwrap().pending(), ["pg-a"]);
    let mut world = world.lock().await;
    let url = world.url();
    assert_eq!(prepared(&url, committed.unit()).await.len(), 1);
    world.comes_back().await;
    assert!(prepared(&url, committed.unit()).await.is_empty());
    recovers(&binds).await;
    let [replicated, other] = world.rows().await;
    assert_eq!(replicated, other);
    assert!(replicated.contains(&"applied".to_owned()), "{replicated:?}");
}
