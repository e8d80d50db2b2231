//! A unit is forced by a process that sees all of its parts: two processes with different binds do not contradict each
//! other.

use std::time::Duration;

use diesel_binds::recovery::{ForceError, ForceOptions, InDoubtReason, Outcome};
use diesel_binds::{BindOptions, Binds, Gid, RecoveryOptions};
use kit::admin::Admin;
use kit::application::{Application, Left};
use kit::prepared::prepared;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use kit::world::Sides;

const REASON: &str = "the disk of the file's host burnt";

/// Starts a process with some of the binds. The file of the holder does not exist.
async fn process<S: Sides>(application: &Application, indices: [usize; 2]) -> Binds {
    let mut urls = application.urls();
    "/nowhere/at/all.db".clone_into(&mut urls[2]);
    let urls = indices.map(|index| urls[index].clone());
    let builder = Binds::builder()
        .namespace(&application.namespace)
        .resolve_timeout(Duration::from_millis(200))
        .recovery(RecoveryOptions::new().without_worker());
    let builder = S::register(builder, &urls, PoolKind::Deadpool, &BindOptions::new()).await;
    builder.build().unwrap()
}

async fn two(application: &Application) -> [Binds; 2] {
    [
        process::<(PostgresA, Sqlite)>(application, [0, 2]).await,
        process::<(MariadbA, Sqlite)>(application, [1, 2]).await,
    ]
}

async fn records(application: &Application) -> usize {
    let mut count = 0;
    for database in [application.postgres(), application.mariadb()] {
        let mut admin = Admin::connect(database.url()).await;
        let query = "SELECT outcome AS value FROM diesel_binds_forced";
        count += admin.values(query).await.unwrap().len();
    }
    count
}

#[tokio::test]
async fn a_unit_is_not_forced_both_ways_by_processes_with_different_binds() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let [one, other] = two(&application).await;
    for (process, outcome) in [(&one, Outcome::Committed), (&other, Outcome::RolledBack)] {
        let refused = process
            .recovery()
            .force(&gid, outcome, REASON)
            .await
            .unwrap_err();
        assert!(
            matches!(refused, ForceError::PartsMissing { seen: 1, parts: 2 }),
            "{refused:?}"
        );
        assert!(refused.to_string().contains("if 1 are gone"), "{refused}");
    }
    assert_eq!(records(&application).await, 0);
    application.roll_back(&gid).await;
}

/// The first force needs a process that sees all parts. A process that sees only some can finish the rest, with the
/// same outcome only.
#[tokio::test]
async fn a_unit_forced_by_a_process_that_saw_all_can_be_finished_by_one_that_does_not() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    for database in [application.postgres(), application.mariadb()] {
        let record = format!(
            "INSERT INTO diesel_binds_forced (unit, gid, outcome, reason) VALUES ('{}', '{gid}', 'commit', 'earlier')",
            gid.unit()
        );
        let mut admin = Admin::connect(database.url()).await;
        admin.run(&record).await.unwrap();
    }
    for process in two(&application).await {
        let refused = process
            .recovery()
            .force(&gid, Outcome::RolledBack, REASON)
            .await;
        assert!(
            matches!(refused, Err(ForceError::Contradicts { .. })),
            "{refused:?}"
        );
        let forced = process
            .recovery()
            .force(&gid, Outcome::Committed, REASON)
            .await
            .unwrap();
        assert_eq!(forced.recovered.len(), 1, "{forced}");
    }
    assert!(!application.is_prepared(&gid).await);
}

/// The process cannot ask the holder, which may be alive and decide otherwise.
#[tokio::test]
async fn a_process_without_a_bind_of_the_holder_forces_only_what_is_said_to_be_lost() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let binds = process::<(PostgresA, MariadbA)>(&application, [0, 1]).await;
    let refused = binds
        .recovery()
        .force(&gid, Outcome::Committed, REASON)
        .await;
    assert!(
        matches!(&refused, Err(ForceError::UnknownHolder { holder }) if holder == "lite"),
        "{refused:?}"
    );
    assert_eq!(records(&application).await, 0);
    let options = ForceOptions::new().holder_is_gone();
    let forced = binds
        .recovery()
        .force_with(&gid, Outcome::RolledBack, REASON, options);
    let forced = forced.await.unwrap();
    assert_eq!(forced.recovered.len(), 2, "{forced}");
    assert!(!application.is_prepared(&gid).await);
}

/// One part was finished before the holder was lost, and the operator has its outcome.
#[tokio::test]
async fn a_unit_is_forced_without_a_part_that_is_said_to_be_gone() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let finished = format!("COMMIT PREPARED '{gid}:pg-a:2'");
    PostgresA::admin(application.postgres(), &finished).await;
    let binds = process::<(MariadbA, Sqlite)>(&application, [1, 2]).await;
    let force = async |gone| {
        let options = ForceOptions::new().parts_are_gone(gone);
        let forced = binds
            .recovery()
            .force_with(&gid, Outcome::Committed, REASON, options);
        forced.await
    };
    for gone in [0, 2] {
        let refused = force(gone).await;
        assert!(
            matches!(refused, Err(ForceError::PartsMissing { seen: 1, parts: 2 })),
            "{refused:?}"
        );
    }
    assert_eq!(records(&application).await, 0);
    let forced = force(1).await.unwrap();
    assert!(forced.is_complete(), "{forced}");
    let text = gid.unit().to_string();
    assert!(MariadbA::rows(application.mariadb()).await.contains(&text));
}

/// Each branch has the number of branches that were known when it was prepared.
#[tokio::test]
async fn a_part_says_how_many_were_known_when_it_was_prepared() {
    let application = Application::new().await;
    let gid: Gid = application.leave(Left::Undecided).await;
    let listed = prepared(application.postgres().url(), gid.unit()).await;
    assert!(
        format!("{listed:?}").contains(&format!("{gid}:pg-a:2")),
        "{listed:?}"
    );
    let mut admin = Admin::connect(application.mariadb().url()).await;
    let rows = "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED";
    admin.run(rows).await.unwrap();
    let rows = "SELECT CAST(parts AS CHAR) AS value FROM diesel_binds_branch";
    assert_eq!(admin.values(rows).await.unwrap(), ["2"]);
    application.roll_back(&gid).await;
}

/// The process that forced the unit died after it had recorded the force in the place of the holder.
#[tokio::test]
async fn a_unit_that_was_forced_by_half_is_left_to_the_same_force() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let forced = format!(
        "INSERT INTO diesel_binds_decision (unit, outcome, participants, namespace) \
         VALUES ('{}', 'forced', '', '{}')",
        gid.unit(),
        application.namespace
    );
    let mut file = Admin::connect(application.file().url()).await;
    file.run(&forced).await.unwrap();
    let process = application.process().await;
    let pass = process.recovery().run_older_than(Duration::ZERO).await;
    assert_eq!(pass.in_doubt.len(), 2, "{pass}");
    let mut in_doubt = pass.in_doubt.iter();
    assert!(
        in_doubt.all(|branch| matches!(branch.reason, InDoubtReason::Forced)),
        "{pass}"
    );
    let done = process
        .recovery()
        .force(&gid, Outcome::RolledBack, REASON)
        .await
        .unwrap();
    assert!(done.is_complete(), "{done}");
    assert!(!application.is_kept(&gid).await);
}
