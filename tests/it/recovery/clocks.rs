//! Units of hosts whose clocks are wrong, and of sessions that sleep: no unit begins older than the records that are
//! kept.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_binds::error::{AbortReason, Fault};
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{Binds, CommitError, Error, Gid, RecoveryOptions, SessionOptions};
use kit::admin::Admin;
use kit::application::{Application, Three};
use kit::side::{MariadbA, PostgresA, Side as _, Sqlite};
use kit::world::Sides;

use crate::recovery::forget::{at_once, everything_lies_behind};

const DAY: i64 = 24 * 3600;

/// Returns the time at which a unit began, in milliseconds since 1970, from its id.
fn began(gid: &Gid) -> i64 {
    i64::from_str_radix(&gid.unit().to_string()[..12], 16).unwrap()
}

async fn now(application: &Application) -> i64 {
    let mut admin = Admin::connect(application.postgres().url()).await;
    let now = "SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS value";
    admin.values(now).await.unwrap()[0].parse().unwrap()
}

async fn commits(binds: &Binds) -> Gid {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let mut session = binds.session();
    let text = format!("kept {}", COUNT.fetch_add(1, Ordering::Relaxed));
    Three::write(&session, &text).await.unwrap();
    let committed = session.commit_all().await.unwrap();
    committed.gid().unwrap().clone()
}

#[tokio::test]
async fn a_unit_is_stamped_by_the_servers_whatever_the_clock_of_the_host_shows() {
    let application = Application::new().await;
    for days in [-30, 30] {
        let process = application.process().await;
        process.shift_clock(days * DAY);
        // This includes the first unit of a process: its server is asked before the unit begins.
        for _ in 0..2 {
            let gid = commits(&process).await;
            let off = began(&gid) - now(&application).await;
            assert!(off.abs() < DAY * 1000 / 2, "{days}: {off}");
        }
    }
}

/// Otherwise the clock of one host would move the horizon of all.
#[tokio::test]
async fn a_horizon_moves_by_the_clock_of_its_holder() {
    let application = Application::new().await;
    let gid = commits(&application.process().await).await;
    // The record was written long ago, by a unit that has just been stamped.
    let aged = "UPDATE diesel_binds_decision SET at = datetime('now', '-8 days')";
    let mut file = Admin::connect(application.file().url()).await;
    file.run(aged).await.unwrap();
    let week = RecoveryOptions::new().without_worker();
    let process = application.process_with(week).await;
    process.shift_clock(30 * DAY);
    let pass = process.recovery().run().await;
    assert!(pass.not_forgotten.is_empty(), "{pass}");
    let horizon = "SELECT unit AS value FROM diesel_binds_horizon";
    assert_eq!(file.values(horizon).await.unwrap(), [] as [&str; 0]);
    assert!(process.recovery().outcome_of(&gid).await.unwrap().is_some());
}

/// The unit begins after the sleep, and so its id is young.
#[tokio::test]
async fn a_session_that_sleeps_for_longer_than_records_are_kept_begins_a_young_unit() {
    let application = Application::new().await;
    let process = application.process().await;
    let _ = commits(&process).await;
    let plan = FaultPlan::new().at("decide:before", Effect::Crash);
    let options = SessionOptions::new().faults(&plan);
    let mut session = process.with(options).session();
    tokio::time::sleep(Duration::from_millis(5)).await;
    everything_so_far_lies_behind(&application, &process).await;
    Three::write(&session, "kept").await.unwrap();
    assert!(session.commit_all().await.is_err());
    drop(session);
    let other = application.process().await;
    let pass = other.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert_eq!(pass.recovered.len(), 2, "{pass}");
}

/// Moves the horizon to the present. Later units of the process are younger.
async fn everything_so_far_lies_behind(application: &Application, process: &Binds) {
    let horizon = format!("{:012x}{}", now(application).await, "0".repeat(20));
    let moved = format!(
        "INSERT INTO diesel_binds_horizon (namespace, unit, moved_at) VALUES ('{}', '{horizon}', 0)",
        application.namespace,
    );
    let mut file = Admin::connect(application.file().url()).await;
    file.run(&moved).await.unwrap();
    // The process's estimate of the servers' clocks is late by the time that their answers took.
    while process.session().unit().to_string() <= horizon {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The id of the unit was read, so it stays. The outcome of such a unit could not be determined later.
#[tokio::test]
async fn a_unit_whose_id_was_read_long_ago_does_not_begin() {
    let application = Application::new().await;
    let process = application.process().await;
    let _ = commits(&process).await;
    let mut session = process.session();
    let named = session.unit();
    process.shift_clock(8 * DAY);
    let refused = PostgresA::write(&session, "late").await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::AbortOnly {
                bind: "pg-a",
                reason: AbortReason::OutlivedRecords
            }
        ),
        "{refused:?}"
    );
    let refused = session.commit_all().await.unwrap_err();
    assert!(refused.is_rolled_back(), "{refused:?}");
    // The next unit is young.
    assert!(session.unit() > named);
    Three::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(PostgresA::rows(application.postgres()).await.len(), 2);
}

/// If such a unit were prepared, its outcome could not be determined after a crash.
async fn a_unit_behind_the_horizon_of_its_holder_is_not_prepared<S: Sides>(holder: usize) {
    let databases = S::databases().await;
    let urls: Vec<String> = databases.iter().map(|d| d.url().to_owned()).collect();
    let key = S::keys()[holder];
    let namespace = format!("outlived-{key}-{}", std::process::id());
    let builder = Binds::builder().namespace(&namespace).recovery(at_once());
    let pool = kit::side::PoolKind::Deadpool;
    let builder = S::register(builder, &urls, pool, &diesel_binds::BindOptions::new()).await;
    let binds = builder.build().unwrap();
    for asked_before in [false, true] {
        if asked_before {
            let mut session = binds.session();
            S::write(&session, "kept").await.unwrap();
            session.commit_all().await.unwrap();
        }
        let mut session = binds.session();
        S::write(&session, "old").await.unwrap();
        let mut admin = Admin::connect(&urls[holder]).await;
        let horizon = format!(
            "INSERT INTO diesel_binds_horizon (namespace, unit, moved_at) VALUES ('{namespace}', '{}', 0)",
            session.unit()
        );
        let settle = "DELETE FROM diesel_binds_horizon";
        admin.run(settle).await.unwrap();
        admin.run(&horizon).await.unwrap();
        let refused = session.commit_all().await.unwrap_err();
        let CommitError::RolledBack {
            bind,
            pending,
            source,
            ..
        } = &refused
        else {
            panic!("{refused:?}")
        };
        assert_eq!((*bind, pending.len()), (key, 0), "{refused:?}");
        assert!(matches!(source, Fault::OutlivedRecords), "{refused:?}");
    }
}

#[tokio::test]
async fn a_unit_behind_the_horizon_of_its_holder_is_not_prepared_on_postgres() {
    type Pair = (PostgresA, kit::side::PostgresB);
    a_unit_behind_the_horizon_of_its_holder_is_not_prepared::<Pair>(0).await;
}

#[tokio::test]
async fn a_unit_behind_the_horizon_of_its_holder_is_not_prepared_on_mariadb() {
    type Pair = (PostgresA, MariadbA);
    a_unit_behind_the_horizon_of_its_holder_is_not_prepared::<Pair>(1).await;
}

#[tokio::test]
async fn a_unit_behind_the_horizon_of_its_holder_is_not_prepared_on_sqlite() {
    let application = Application::new().await;
    everything_lies_behind(&application).await;
    let process = application.process().await;
    let mut session = process.session();
    Three::write(&session, "old").await.unwrap();
    let refused = session.commit_all().await.unwrap_err();
    assert!(
        matches!(
            &refused,
            CommitError::RolledBack {
                bind: "lite",
                source: Fault::OutlivedRecords,
                ..
            }
        ),
        "{refused:?}"
    );
    assert!(Sqlite::rows(application.file()).await.is_empty());
}
