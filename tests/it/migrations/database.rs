//! The behaviour of the migrations of one bind, on any backend.

use std::time::Duration;

use diesel_binds::build::FromUrl;
use diesel_binds::migrations::{Migratable, MigrationProblem, MigrationStatus};
use diesel_binds::{Bind, Binds};
use kit::source::{Gate, Steps};

use crate::migrations::world::{execute, names, on, owners, state, versions, with_causes};

pub const USERS: &str = "2026-01-02-000000_users";
pub const NAMES: &str = "2026-01-03-000000_names";
pub const LATER: &str = "2026-01-04-000000_later";

pub fn two() -> Steps {
    Steps::new().table(USERS, "users").table(NAMES, "names")
}

pub async fn migrations_run_are_reported_listed_and_reverted<
    B: Bind<Connection: FromUrl + Migratable> + Default,
>(
    url: &str,
) {
    migrations_of_binds_run_are_reported_listed_and_reverted::<B>(&on::<B>(url, two()), url).await;
}

/// Runs that test on binds that connect in another way.
pub async fn migrations_of_binds_run_are_reported_listed_and_reverted<B: Bind>(
    binds: &Binds,
    url: &str,
) {
    let key = B::KEY;

    // A report changes nothing.
    assert_eq!(state(binds, key).await.pending.len(), 2);
    let pending = binds.migrations().check().await.unwrap_err();
    assert!(matches!(
        pending.problem(),
        MigrationProblem::Pending { .. }
    ));
    assert_eq!(
        pending.to_string(),
        format!("`{key}` has pending migrations: {USERS}, {NAMES}; nothing was done")
    );

    let migrated = binds.migrations().run().await.unwrap();
    assert_eq!(
        names(&migrated.done),
        [format!("{key}/{USERS}"), format!("{key}/{NAMES}")]
    );
    assert_eq!(
        migrated.to_string(),
        format!("done: `{key}` ({USERS}, {NAMES})")
    );
    assert_eq!(versions(url).await, ["20260102000000", "20260103000000"]);
    assert_eq!(
        owners(url).await,
        [
            format!("20260102000000 {key}"),
            format!("20260103000000 {key}")
        ]
    );
    binds.migrations().check().await.unwrap();
    let report = binds.migrations().report().await;
    assert!(report.is_current() && !report.has_drifted(), "{report}");
    assert!(
        report.to_string().contains("2 applied, 0 pending"),
        "{report}"
    );

    // A second run does nothing.
    assert!(binds.migrations().run().await.unwrap().done.is_empty());

    let reverted = binds.migrations().revert().await.unwrap();
    assert_eq!(names(&reverted.done), [format!("{key}/{NAMES}")]);
    let list = binds.migrations().list().await.unwrap();
    let list: Vec<_> = list
        .iter()
        .map(|listed| (listed.version.as_str(), listed.status))
        .collect();
    assert_eq!(
        list,
        [
            ("20260102000000", MigrationStatus::Applied),
            ("20260103000000", MigrationStatus::Pending)
        ]
    );
    assert_eq!(binds.migrations().run().await.unwrap().done.len(), 1);
    let reverted = binds.migrations().of_key(key).revert_all().await.unwrap();
    assert_eq!(
        names(&reverted.done),
        [format!("{key}/{NAMES}"), format!("{key}/{USERS}")]
    );
    assert!(versions(url).await.is_empty());
    assert!(owners(url).await.is_empty());
    assert!(binds.migrations().revert().await.unwrap().done.is_empty());
}

pub async fn a_failure_says_what_is_done_and_what_is_not<B>(url: &str)
where
    B: Bind<Connection: FromUrl + Migratable> + Default,
{
    let broken = "CREATE TABLE half (id INTEGER PRIMARY KEY); CREATE TABLE no_columns ()())";
    let steps = Steps::new()
        .table(USERS, "users")
        .step(NAMES, broken, "")
        .table(LATER, "later");
    let binds = on::<B>(url, steps);
    let error = binds.migrations().run().await.unwrap_err();
    let key = B::KEY;
    assert_eq!(error.bind(), Some(key));
    assert_eq!(names(error.done()), [format!("{key}/{USERS}")]);
    assert_eq!(
        names(error.left()),
        [format!("{key}/{NAMES}"), format!("{key}/{LATER}")]
    );
    let MigrationProblem::Failed { rolled_back, .. } = error.problem() else {
        panic!("{error:?}");
    };
    assert_eq!(*rolled_back, !url.starts_with("mysql"));
    let text = with_causes(&error);
    let all = format!("done: `{key}` ({USERS}); not done: `{key}` ({NAMES}, {LATER})");
    assert!(text.contains(&all), "{text}");
    assert_eq!(versions(url).await, ["20260102000000"]);

    // If DDL is transactional, the table of the failed migration is gone.
    if *rolled_back {
        execute(url, "CREATE TABLE half (id INTEGER PRIMARY KEY)").await;
    } else {
        execute(url, "DROP TABLE half").await;
    }
}

pub async fn applied_migrations_that_the_program_lacks_are_drift<B>(url: &str)
where
    B: Bind<Connection: FromUrl + Migratable> + Default,
{
    let newer = two().table(LATER, "later");
    on::<B>(url, newer).migrations().run().await.unwrap();

    // An older program starts, unless it is strict.
    let older = on::<B>(url, two());
    assert_eq!(state(&older, B::KEY).await.unknown, ["20260104000000"]);
    assert!(older.migrations().run().await.unwrap().done.is_empty());
    let refused = older.migrations().refuse_drift().run().await.unwrap_err();
    assert!(refused.to_string().contains("20260104000000"), "{refused}");
    let refused = older.migrations().check().await.unwrap_err();
    assert!(matches!(refused.problem(), MigrationProblem::Drift { .. }));
    let report = older.migrations().report().await;
    assert!(report.has_drifted() && !report.is_current());
    assert!(
        report
            .to_string()
            .contains("20260104000000 is in the database"),
        "{report}"
    );

    // Nothing is reverted below a migration that is unknown here.
    let refused = older.migrations().revert().await.unwrap_err();
    assert!(matches!(refused.problem(), MigrationProblem::Drift { .. }));

    // Nothing is run beside an unknown migration, either.
    let other = two().table("2026-01-05-000000_other", "other");
    let other = on::<B>(url, other);
    let refused = other.migrations().run().await.unwrap_err();
    assert!(matches!(refused.problem(), MigrationProblem::Drift { .. }));
    assert_eq!(versions(url).await.len(), 3);
    let run = other.migrations().allow_unknown().run().await.unwrap();
    assert_eq!(run.done.len(), 1);

    // A migration that is older than an applied one is run, unless the program is strict.
    let merged = two()
        .table(LATER, "later")
        .table("2026-01-05-000000_other", "other")
        .table("2026-01-02-120000_merged", "merged");
    let merged = on::<B>(url, merged);
    let refused = merged.migrations().refuse_drift().run().await.unwrap_err();
    assert!(
        refused.to_string().contains("2026-01-02-120000_merged"),
        "{refused}"
    );
    assert_eq!(merged.migrations().run().await.unwrap().done.len(), 1);
}

/// Regression test: the URL of one bind leads to the database of another.
pub async fn the_migrations_of_another_bind_are_refused<B, Other>(url: &str)
where
    B: Bind<Connection: FromUrl + Migratable> + Default,
    Other: Bind<Connection: FromUrl + Migratable> + Default,
{
    on::<B>(url, two()).migrations().run().await.unwrap();

    let stranger = Steps::new().table("2026-02-02-000000_entries", "entries");
    let stranger = on::<Other>(url, stranger);
    for refused in [
        stranger.migrations().run().await,
        stranger.migrations().allow_unknown().run().await,
        stranger.migrations().revert().await,
    ] {
        let refused = refused.unwrap_err();
        let MigrationProblem::Foreign {
            bind,
            owner,
            versions,
            ..
        } = refused.problem()
        else {
            panic!("{refused:?}");
        };
        assert_eq!((*bind, owner.as_str()), (Other::KEY, B::KEY));
        assert_eq!(versions.len(), 2);
    }

    // The version is the same, but the run does not report that nothing is pending.
    let same = on::<Other>(
        url,
        Steps::new().table("2026-01-02-000000_entries", "entries"),
    );
    for refused in [
        same.migrations().run().await.map(|_| ()),
        same.migrations().check().await,
    ] {
        let refused = refused.unwrap_err();
        assert!(
            matches!(refused.problem(), MigrationProblem::VersionCollision { .. }),
            "{refused:?}"
        );
        assert!(
            refused.to_string().starts_with("version collision"),
            "{refused}"
        );
    }
    assert_eq!(versions(url).await.len(), 2);
}

pub async fn a_lock_that_is_held_is_waited_for_and_not_forever<B>(url: &str)
where
    B: Bind<Connection: FromUrl + Migratable> + Default,
{
    let gate = Gate::default();
    let first = on::<B>(url, Steps::new().table(USERS, "users").behind(&gate));
    let second = on::<B>(url, Steps::new().table(USERS, "users"));
    // The first run goes on when its future is dropped.
    {
        let migrations = first.migrations();
        tokio::select! {
            done = migrations.run() => panic!("past a gate that is closed: {done:?}"),
            () = gate.reached() => {}
        }
    }
    let patience = Duration::from_millis(50);
    let refused = second.migrations().lock_timeout(patience).run().await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused.problem(), MigrationProblem::Locked { .. }),
        "{refused:?}"
    );
    assert!(refused.done().is_empty() && refused.left().is_empty());
    // A report waits for no lock.
    assert_eq!(state(&second, B::KEY).await.pending.len(), 1);

    gate.open();
    let waited = second.migrations();
    assert!(waited.run().await.unwrap().done.is_empty());
    assert_eq!(versions(url).await.len(), 1);
    first.close().await;
}
