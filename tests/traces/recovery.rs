//! The spans and events of recovery: passes, databases, branches, the worker, and forced units.

use std::time::Duration;

use diesel_binds::recovery::Outcome;
use diesel_binds::{BindOptions, Binds, Gid, RecoveryOptions};
use futures_util::FutureExt as _;
use kit::admin::Admin;
use kit::application::{Application, Left, Three};
use kit::side::PoolKind;
use kit::world::Sides;
use tokio::time::sleep;
use tracing::Level;

use crate::listener::{SpanOrEvent, listen, recorded_with};
use crate::spans::{named, record};

/// Returns the branches of a unit, ordered by the keys of their binds.
fn branches<'h>(recorded: &'h [SpanOrEvent], gid: &Gid) -> Vec<&'h SpanOrEvent> {
    let gid = gid.to_string();
    let mut found = named(recorded, "branch");
    found.retain(|recorded| recorded.field("gid") == gid);
    found.sort_by_key(|recorded| recorded.field("bind").to_owned());
    found
}

fn the_pass(recorded: &[SpanOrEvent]) -> &SpanOrEvent {
    match named(recorded, "recovery").as_slice() {
        [pass] => pass,
        others => panic!("one pass, but {others:#?}"),
    }
}

fn with_message<'h>(recorded: &'h [SpanOrEvent], message: &str) -> Vec<&'h SpanOrEvent> {
    let mut events = named(recorded, "event");
    events.retain(|event| event.field("message") == message);
    events
}

/// Starts a process with other URLs for some binds and short timeouts.
async fn with_urls(application: &Application, changes: &[(usize, &str)]) -> Binds {
    let mut urls = application.urls();
    for (index, url) in changes {
        (*url).clone_into(&mut urls[*index]);
    }
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .resolve_timeout(Duration::from_millis(200))
        .step_timeout(Duration::from_secs(10))
        .recovery(RecoveryOptions::new().without_worker());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_a_tree_of_spans_down_to_each_branch() {
    let application = Application::new().await;
    let units = [
        (application.leave(Left::Committed).await, "committed"),
        (application.leave(Left::Undecided).await, "rolled back"),
    ];
    let process = application.process().await;
    let recorded = record(async {
        let pass = process.recovery().run_older_than(Duration::ZERO).await;
        assert!(pass.is_complete(), "{pass}");
    })
    .await;

    let pass = the_pass(&recorded);
    assert_eq!(pass.target, "diesel_binds::recovery");
    assert_eq!(pass.within, ["request"]);
    for (field, expected) in [
        ("application", &*application.namespace),
        ("purpose", "finish"),
        ("outcome", "complete"),
        ("recovered", "4"),
        ("in_doubt", "0"),
        ("unreachable", "0"),
        ("otel.status_code", ""),
    ] {
        assert_eq!(pass.field(field), expected, "{field}");
    }
    let systems = ["postgresql", "mariadb", "sqlite"];
    for name in ["database", "forget"] {
        let spans = named(&recorded, name);
        assert_eq!(spans.len(), 3, "{spans:#?}");
        for ((span, bind), system) in spans.iter().zip(Three::keys()).zip(systems) {
            assert_eq!(span.within, ["recovery", "request"]);
            assert_eq!(span.field("bind"), bind);
            assert_eq!(span.field("db.system.name"), system);
            assert!(!span.field("db.namespace").is_empty());
            assert_eq!(span.field("error.type"), "");
        }
    }
    for (gid, outcome) in &units {
        let branches = branches(&recorded, gid);
        assert_eq!(branches.len(), 2, "{branches:#?}");
        for (branch, bind) in branches.iter().zip(["my-a", "pg-a"]) {
            assert_eq!(branch.within, ["database", "recovery", "request"]);
            assert_eq!(branch.field("bind"), bind);
            assert_eq!(branch.field("unit"), gid.unit().to_string());
            assert_eq!(branch.field("holder"), "lite");
            assert_eq!(branch.field("outcome"), *outcome);
            assert_eq!(branch.field("done"), "finished");
            assert_eq!(branch.field("error.type"), "");
        }
        let finished = with_message(&recorded, "finished a unit that was in doubt");
        let finished = finished.iter().filter(|event| {
            event.field("gid") == gid.to_string()
                && event.field("outcome") == *outcome
                && event.within == ["branch", "database", "recovery", "request"]
        });
        assert_eq!(finished.count(), 2, "{recorded:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_and_a_pass_that_is_dropped_are_told_as_such() {
    let application = Application::new().await;
    let process = application.process().await;
    let recorded = record(async {
        assert!(process.recovery().run().now_or_never().is_none());
    })
    .await;
    assert_eq!(the_pass(&recorded).field("outcome"), "stopped");
    let recorded = record(async {
        let _ = process.recovery().in_doubt().await;
    })
    .await;
    let look = the_pass(&recorded);
    assert_eq!(look.field("purpose"), "look");
    assert_eq!(look.field("outcome"), "complete");
    assert!(named(&recorded, "forget").is_empty());
}

/// Another process finishes a branch between the list of its server and the answer of its holder.
#[tokio::test(flavor = "multi_thread")]
async fn branches_that_others_finished_are_not_reported_as_finished_here() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let process = application.process().await;
    let recorded = record(async {
        let mut holder = Admin::connect(application.file().url()).await;
        holder.run("BEGIN IMMEDIATE").await.unwrap();
        let others = async {
            while recorded_with("gid", &gid.to_string())
                .iter()
                .all(|recorded| recorded.name != "branch")
            {
                sleep(Duration::from_millis(1)).await;
            }
            application.roll_back(&gid).await;
            holder.run("ROLLBACK").await.unwrap();
        };
        let (pass, ()) = tokio::join!(process.recovery().run_older_than(Duration::ZERO), others);
        assert!(pass.is_complete(), "{pass}");
    })
    .await;
    let branches = branches(&recorded, &gid);
    assert_eq!(branches.len(), 2, "{recorded:#?}");
    for branch in branches {
        assert_eq!(branch.field("outcome"), "rolled back");
        assert_eq!(branch.field("done"), "gone");
    }
    assert!(with_message(&recorded, "finished a unit that was in doubt").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_that_cannot_be_finished_are_reported_without_a_url_or_a_password() {
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let wrong = application.urls()[1].replacen("root@", "app:hunter2@", 1);
    assert!(wrong.contains("hunter2"));
    let down = "postgres://postgres:hunter2@127.0.0.1:1/gone";
    let process = with_urls(&application, &[(0, down), (1, &wrong)]).await;
    let recorded = record(async {
        let pass = process.recovery().run().await;
        assert_eq!(pass.unreachable.len(), 2, "{pass}");
    })
    .await;
    let pass = the_pass(&recorded);
    assert_eq!(pass.field("outcome"), "failed");
    assert_eq!(pass.field("unreachable"), "2");
    assert_eq!(pass.field("otel.status_code"), "ERROR");
    let message = "a database could not be read: its branches in doubt wait for a later pass";
    let unseen = with_message(&recorded, message);
    assert_eq!(unseen.len(), 2, "{recorded:#?}");
    for (event, bind) in unseen.iter().zip(["pg-a", "my-a"]) {
        assert_eq!(event.field("bind"), bind);
        assert_eq!(event.within, ["database", "recovery", "request"]);
        assert!(!event.field("error").is_empty());
    }
    for span in named(&recorded, "database") {
        let (error, status) = match span.field("bind") {
            "lite" => ("", ""),
            _ => ("Connect", "ERROR"),
        };
        assert_eq!(span.field("error.type"), error);
        assert_eq!(span.field("otel.status_code"), status);
    }
    // A mere list of the units in doubt is returned, and emits no event.
    let look = record(async {
        let _ = process.recovery().in_doubt().await;
    })
    .await;
    assert!(with_message(&look, message).is_empty());
    for recorded in [&recorded, &look] {
        let text = format!("{recorded:?}");
        assert!(!text.contains("hunter2"), "{recorded:#?}");
        assert!(!text.contains("://"), "no URL at all: {recorded:#?}");
    }
    application
        .process()
        .await
        .recovery()
        .run_older_than(Duration::ZERO)
        .await;
    assert!(!application.is_prepared(&gid).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_stays_says_why_and_a_force_is_reported() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let process = application.process().await;
    // The pass treats the unit as new.
    let recorded = record(async {
        let pass = process
            .recovery()
            .run_older_than(Duration::from_secs(3600))
            .await;
        assert_eq!(pass.in_doubt.len(), 2, "{pass}");
    })
    .await;
    assert_eq!(the_pass(&recorded).field("outcome"), "complete");
    assert!(branches(&recorded, &gid).is_empty());
    assert_eq!(with_message(&recorded, "a unit is in doubt").len(), 2);

    let lost = with_urls(&application, &[(2, "/nowhere/at/all.db")]).await;
    let recorded = record(async {
        let pass = lost.recovery().run_older_than(Duration::ZERO).await;
        assert_eq!(pass.in_doubt.len(), 2, "{pass}");
    })
    .await;
    assert_eq!(the_pass(&recorded).field("outcome"), "failed");
    assert_eq!(the_pass(&recorded).field("in_doubt"), "2");
    for branch in branches(&recorded, &gid) {
        assert_eq!(branch.field("outcome"), "");
        assert_eq!(branch.field("done"), "left");
        assert_eq!(branch.field("error.type"), "Holder");
        assert_eq!(branch.field("otel.status_code"), "ERROR");
    }
    for event in with_message(&recorded, "a unit is in doubt") {
        assert_eq!(event.field("gid"), gid.to_string());
        let why = event.field("error");
        assert!(why.starts_with("its holder could not be asked"), "{why}");
    }

    // All branches were listed, but the holder cannot write a fence while another client writes.
    let busy = with_urls(&application, &[]).await;
    let mut holder = Admin::connect(application.file().url()).await;
    holder.run("BEGIN IMMEDIATE").await.unwrap();
    let recorded = record(async {
        let pass = busy.recovery().run_older_than(Duration::ZERO).await;
        assert!(pass.recovered.is_empty(), "{pass}");
    })
    .await;
    holder.run("ROLLBACK").await.unwrap();
    assert_eq!(the_pass(&recorded).field("outcome"), "failed");

    let recorded = record(async {
        let refused = process
            .recovery()
            .force(&gid, Outcome::RolledBack, "a test")
            .await;
        assert!(refused.is_err());
        let forced = lost
            .recovery()
            .force(&gid, Outcome::RolledBack, "a test")
            .await
            .unwrap();
        assert_eq!(forced.recovered.len(), 2, "{forced}");
    })
    .await;
    let [refused, forced] = named(&recorded, "force")[..] else {
        panic!("two, but {recorded:#?}");
    };
    assert_eq!(refused.field("error.type"), "HolderAnswers");
    assert_eq!(forced.field("error.type"), "");
    assert_eq!(forced.field("gid"), gid.to_string());
    assert_eq!(forced.field("outcome"), "rolled back");
    assert_eq!(forced.field("reason"), "a test");
    let branches = branches(&recorded, &gid);
    assert_eq!(branches.len(), 2);
    for branch in branches {
        assert_eq!(branch.within, ["force", "request"]);
        assert_eq!(branch.field("done"), "finished");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worker_has_an_event_for_its_start_and_its_end() {
    crate::listener::listen();
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let eager = RecoveryOptions::new()
        .interval(Duration::from_millis(50))
        .jitter(Duration::from_millis(10));
    let process = application.process_with(eager).await;
    application.wait_until_finished(&gid).await;
    process.close().await;
    let of_it = recorded_with("application", &application.namespace);
    for event in ["starts", "ends"] {
        let message = format!("the worker of recovery {event}");
        assert_eq!(with_message(&of_it, &message).len(), 1, "{of_it:#?}");
    }
    let passes = named(&of_it, "recovery");
    assert!(!passes.is_empty());
    for pass in passes {
        assert_eq!(pass.field("purpose"), "worker");
        assert_eq!(pass.within, [""; 0]);
    }
    let branches = recorded_with("gid", &gid.to_string());
    let branches = named(&branches, "branch");
    assert!(!branches.is_empty());
    for branch in branches {
        assert_eq!(branch.within, ["database", "recovery"]);
    }
}

#[tokio::test]
async fn a_unit_in_doubt_for_a_minute_is_a_warning_with_its_gid() {
    let application = Application::new().await;
    let binds = application.process().await;
    for (seconds, warned) in [(50, false), (61, true)] {
        let gid = application
            .gid_of_new_unit(&application.namespace, "elsewhere")
            .await;
        drop(application.prepare_on_mariadb(&gid, true, seconds).await);
        listen();
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        assert_eq!(pass.in_doubt.len(), 1, "{pass}");
        let recorded = recorded_with("gid", &gid.to_string());
        let warns =
            |recorded: &SpanOrEvent| recorded.level.is_some_and(|level| level <= Level::WARN);
        assert_eq!(recorded.iter().any(warns), warned, "{recorded:#?}");
        application.roll_back(&gid).await;
    }
}
