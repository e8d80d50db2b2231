//! The events of a run of migrations.

use std::time::Duration;

use diesel_binds::{BindOptions, Binds, RecoveryOptions};
use kit::application::{Application, LONG, Left, Three};
use kit::side::{MariadbA, PoolKind, PostgresA};
use kit::source::Steps;
use kit::world::Sides;
use tokio::time::sleep;

use crate::listener::{listen, recorded_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_branch_says_for_which() {
    listen();
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let change = || {
        let up = "ALTER TABLE notes ADD COLUMN note INTEGER";
        Steps::new().step("2026-01-01-000000_note", up, "SELECT 1")
    };
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .recovery(RecoveryOptions::new().without_worker())
        .migrations(PostgresA, change())
        .migrations(MariadbA, change());
    let (urls, options) = (application.urls(), BindOptions::new());
    let builder = Three::register(builder, &urls, PoolKind::Deadpool, &options).await;
    let binds = builder.build().unwrap();

    for bind in ["pg-a", "my-a"] {
        let migrations = binds.migrations().of_key(bind);
        let reported = async {
            while !is_reported(bind, &gid.to_string()) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            done = migrations.run() => panic!("{bind}: the branch is in its way: {done:?}"),
            in_time = tokio::time::timeout(LONG, reported) => in_time.expect("the run reports the branch that it waits for"),
        }
    }

    // The preflight does not wait for a table that is being altered.
    let report = binds.check().await;
    for bind in ["pg-a", "my-a"] {
        assert!(report.bind(bind).unwrap().version.is_some(), "{report}");
    }

    // The runs go on although their futures were dropped, and end when the branches are finished.
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert!(binds.migrations().run().await.unwrap().done.is_empty());
    binds.close().await;
}

/// Returns whether an event reported that a migration of the bind waits for a branch of the unit.
fn is_reported(bind: &str, gid: &str) -> bool {
    let unit = gid.split(':').nth(2).unwrap();
    recorded_with("bind", bind).iter().any(|recorded| {
        recorded.name == "event"
            && recorded
                .field("message")
                .starts_with("a migration may wait")
            && recorded.field("branches").contains(unit)
    })
}
