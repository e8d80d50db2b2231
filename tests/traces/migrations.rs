//! The events of a run of migrations.

use std::time::Duration;

use diesel_binds::migrations::MigrationProblem;
use diesel_binds::{BindOptions, Binds, Gid, RecoveryOptions};
use kit::admin::Admin;
use kit::application::{Application, LONG, Left, Three};
use kit::side::{MariadbA, PoolKind, PostgresA};
use kit::source::Steps;
use kit::world::Sides;
use tokio::time::{sleep, timeout};

use crate::listener::{listen, recorded_with};

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_waits_for_a_branch_says_for_which() {
    listen();
    let application = Application::new().await;
    let gid = application.leave(Left::Committed).await;
    let binds = altering(&application).await;

    for bind in ["pg-a", "my-a"] {
        let migrations = binds.migrations().of_key(bind);
        let reported = wait_until_reported(bind, &gid);
        tokio::select! {
            done = migrations.run() => panic!("{bind}: the branch is in its way: {done:?}"),
            () = reported => {}
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

/// A run that ends before the branches are finished, such as by a time limit.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_fails_while_it_waits_for_a_branch_names_the_branch() {
    listen();
    let application = Application::new().await;
    let binds = altering(&application).await;
    let left = application.leave(Left::Committed).await;
    let namespace = &application.namespace;
    let young = application.gid_of_new_unit(namespace, "lite").await;
    let urls = application.urls();
    for (bind, url, gid) in [("pg-a", &urls[0], left), ("my-a", &urls[1], young)] {
        // On MariaDB, a wait ends at once only while the connection that prepared the branch lives.
        let held = match bind {
            "my-a" => Some(application.prepare_on_mariadb(&gid, true, 10).await),
            _ => None,
        };
        let migrations = binds.migrations().of_key(bind);
        let mut run = std::pin::pin!(migrations.run());
        tokio::select! {
            done = &mut run => panic!("{bind}: the branch is in its way: {done:?}"),
            () = wait_until_reported(bind, &gid) => {}
        }
        let failed = loop {
            Admin::connect(url).await.end_alterations().await;
            if let Ok(ended) = timeout(Duration::from_millis(50), &mut run).await {
                break ended.unwrap_err();
            }
        };
        let MigrationProblem::Failed { waited_for, .. } = failed.problem() else {
            panic!("{failed:?}");
        };
        let unit = gid.unit().to_string();
        assert!(
            waited_for.iter().any(|branch| branch.contains(&unit)),
            "{failed:?}"
        );
        let text = failed.to_string();
        assert!(
            text.contains(bind)
                && text.contains(&waited_for[0])
                && text.contains("diesel-binds recover"),
            "{text}"
        );
        drop(held);
    }
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert_eq!(binds.migrations().run().await.unwrap().done.len(), 2);
    binds.close().await;
}

/// Registers the application with migrations that alter a table on which the left branches have locks.
async fn altering(application: &Application) -> Binds {
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
    builder.build().unwrap()
}

async fn wait_until_reported(bind: &str, gid: &Gid) {
    let reported = async {
        while !is_reported(bind, &gid.to_string()) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(LONG, reported)
        .await
        .expect("the run reports the branch that it waits for");
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
