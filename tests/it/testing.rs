//! The library's support for tests of applications: faults at every point of a commit.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_binds::testing::{Case, Effect, FaultPlan, dying_at_every_step};
use diesel_binds::{Commit, CommitError, Error, Session, SessionOptions};
use kit::side::{MariadbA, MariadbB, PoolKind, PostgresA, PostgresB, Sqlite};
use kit::world::Sides;
use tokio::sync::Mutex;

use crate::suite::cancel::Bench;

type Mixed = (PostgresA, MariadbA);

/// Runs a unit that writes everywhere through all of its crashes, and returns them.
async fn converges<S: Sides>() -> Vec<String> {
    let bench = Bench::<S>::new(PoolKind::Deadpool).await;
    let binds = bench.world.binds.clone();
    let bench = Mutex::new(bench);
    let number = AtomicUsize::new(0);
    let text = || format!("unit {}", number.load(Ordering::Relaxed));
    let unit = async |session: &mut Session| -> Result<Commit, Error> {
        S::write(session, &text()).await?;
        Ok(session.commit_all().await?)
    };
    let check = async |case: &Case, result: Option<Result<Commit, Error>>| {
        let mut bench = bench.lock().await;
        bench.settle().await;
        let kept = bench.is_everywhere(&text()).await;
        match result {
            Some(Ok(_)) => assert!(kept, "committed, and not there: {case}"),
            Some(Err(Error::Commit(error))) if !error.is_in_doubt() => {
                assert!(error.is_rolled_back(), "{error:?}: {case}");
                assert!(!kept, "rolled back, and there: {case}");
            }
            Some(Err(Error::Commit(_))) | None => {}
            Some(Err(error)) => panic!("{error:?}: {case}"),
        }
        number.fetch_add(1, Ordering::Relaxed);
    };
    let cases = dying_at_every_step(&binds, unit, check).await;
    bench.lock().await.assert_clean().await;
    cases.iter().map(ToString::to_string).collect()
}

macro_rules! converges {
    ($($name:ident: $sides:ty,)+) => {
        mod a_unit_converges_wherever_it_dies {
            use super::*;

            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let cases = converges::<$sides>().await;
                assert!(cases.len() >= 3 * 5, "{cases:#?}");
            })+
        }
    };
}

converges!(
    postgres_and_postgres: (PostgresA, PostgresB),
    postgres_and_sqlite: (PostgresA, Sqlite),
    mariadb_and_sqlite: (MariadbA, Sqlite),
    mariadb_and_mariadb: (MariadbA, MariadbB),
    all_four: (PostgresA, PostgresB, MariadbA, Sqlite),
);

/// Users write these names down, so they must not change.
#[tokio::test]
async fn every_point_and_fault_is_tried_once() {
    let cases = converges::<Mixed>().await;
    let mut expected = Vec::new();
    for step in ["prepare:pg-a", "decide:my-a", "apply:pg-a"] {
        for (moment, effects) in [
            ("before", &["crash", "disconnect", "refuse"][..]),
            ("after", &["crash", "disconnect"][..]),
        ] {
            expected.extend(
                effects
                    .iter()
                    .map(|effect| format!("{effect} at {step}:{moment}")),
            );
        }
    }
    // The steps that follow a fault which did not kill the process.
    for (first, steps) in [
        (
            "disconnect at prepare:pg-a:before",
            &["roll-back:my-a", "undo:pg-a"][..],
        ),
        ("disconnect at decide:my-a:before", &["resolve:my-a"][..]),
    ] {
        for step in steps {
            for moment in ["before", "after"] {
                expected.push(format!("{first}, then crash at {step}:{moment}"));
            }
        }
    }
    assert_eq!(cases, expected);
}

/// The unit may have committed or not. A caller without an answer must not repeat it.
#[tokio::test]
async fn a_crash_is_an_interrupted_commit_and_recovery_finishes_it() {
    let mut bench = Bench::<Mixed>::new(PoolKind::Deadpool).await;
    for (point, committed) in [("decide:before", false), ("decide:after", true)] {
        let plan = FaultPlan::new().at(point, Effect::Crash);
        let options = SessionOptions::new().faults(&plan);
        let mut session = bench.world.binds.with(options).session();
        Mixed::write(&session, point).await.unwrap();
        let error = session.commit_all().await.unwrap_err();
        assert!(
            matches!(error, CommitError::Interrupted { .. }),
            "{error:?}"
        );
        assert!(error.is_in_doubt());
        assert_eq!(plan.fired().len(), 1);
        assert_eq!(plan.fired()[0].to_string(), point.replace(':', ":my-a:"));

        let looked = bench.world.binds.recovery().in_doubt().await;
        assert_eq!(looked.in_doubt.len(), 1, "{point}: {looked}");
        bench.run_recovery(point).await;
        bench.settle().await;
        assert_eq!(bench.is_everywhere(point).await, committed, "{point}");
    }
    bench.assert_clean().await;
}

/// The function runs recovery at its point, which fences the decision.
#[tokio::test]
async fn a_function_is_called_at_its_point_and_the_commit_goes_on() {
    let mut bench = Bench::<Mixed>::new(PoolKind::Deadpool).await;
    let binds = bench.world.binds.clone();
    let plan = FaultPlan::new().at(
        "decide:before",
        Effect::call(move |_| {
            let binds = binds.clone();
            async move {
                let recovery = binds.recovery().run_older_than(Duration::ZERO).await;
                assert_eq!(recovery.recovered.len(), 1, "{recovery}");
            }
        }),
    );
    bench.world.binds.inject(&plan);
    let mut session = bench.session();
    Mixed::write(&session, "fenced").await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    assert!(error.is_rolled_back(), "{error:?}");
    assert!(!bench.is_everywhere("fenced").await);
    let mut session = bench.session();
    Mixed::write(&session, "later").await.unwrap();
    session.commit_all().await.unwrap();
    assert!(bench.is_everywhere("later").await, "a fault happens once");
    bench.assert_clean().await;
}

#[tokio::test]
async fn a_holder_that_does_not_answer_leaves_the_unit_in_doubt() {
    let mut bench = Bench::<Mixed>::new(PoolKind::Deadpool).await;
    let plan = FaultPlan::new()
        .at("decide:my-a:after", Effect::Disconnect)
        .at("resolve:before", Effect::Refuse);
    let options = SessionOptions::new().faults(&plan);
    let mut session = bench.world.binds.with(options).session();
    Mixed::write(&session, "doubtful").await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    assert!(matches!(error, CommitError::InDoubt { .. }), "{error:?}");
    bench.run_recovery("doubtful").await;
    assert!(bench.is_everywhere("doubtful").await);
    bench.assert_clean().await;
}

#[tokio::test]
#[should_panic(expected = "`decide` is not the name of a point of a commit")]
async fn a_name_of_no_point_is_refused() {
    let _ = FaultPlan::new().at("decide", Effect::Crash);
}
