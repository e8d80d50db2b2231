//! What a process left prepared is finished as its holder has it.

use std::time::Duration;

use diesel_binds::{Gid, Outcome, UnitId};

use crate::application::{Application, Left};
use crate::suite::side::{PostgresA, Side};

async fn recovers(left: Left, expected: Outcome) {
    let application = Application::new().await;
    let gid = application.leave(left).await;
    let binds = application.process().await;

    let looked = binds.in_doubt().await;
    assert_eq!(looked.in_doubt.len(), 2, "{looked}");
    let mut in_doubt = looked.in_doubt.iter();
    assert!(in_doubt.all(|branch| branch.gid.as_ref() == Some(&gid)));

    let young = binds.recover_older_than(Duration::from_secs(3600)).await;
    assert!(young.recovered.is_empty(), "{young}");

    let pass = binds.recover_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert_eq!(pass.recovered.len(), 2, "{pass}");
    assert!(pass.recovered.iter().all(|one| one.outcome == expected));
    assert_eq!(binds.outcome_of(&gid).await.unwrap(), Some(expected));
    assert_eq!(application.is_kept(&gid).await, expected == Outcome::Commit);
}

#[tokio::test]
async fn what_its_holder_committed_is_committed() {
    recovers(Left::Committed, Outcome::Commit).await;
}

#[tokio::test]
async fn what_its_holder_did_not_decide_is_rolled_back_and_can_never_commit() {
    recovers(Left::Undecided, Outcome::Abort).await;
}

/// A server refuses to finish a branch that another connection is finishing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_that_recover_at_once_are_not_in_each_others_way() {
    let application = Application::new().await;
    let mut units = Vec::new();
    for number in 0..12 {
        let left = [Left::Committed, Left::Undecided][number % 2];
        units.push((application.leave(left).await, left));
    }
    let (one, other) = (application.process().await, application.process().await);
    let (one, other) = tokio::join!(
        one.recover_older_than(Duration::ZERO),
        other.recover_older_than(Duration::ZERO),
    );
    assert!(one.is_complete() && other.is_complete(), "{one}\n{other}");
    for (gid, left) in units {
        assert!(!application.is_prepared(&gid).await);
        assert_eq!(application.is_kept(&gid).await, left == Left::Committed);
    }
}

/// Leaves a branch behind as a process does that dies between two steps of a commit.
async fn prepare_postgres(application: &Application, gid: &Gid) {
    let prepare = format!(
        "BEGIN; INSERT INTO notes (text) VALUES ('{}'); PREPARE TRANSACTION '{gid}:pg-a'",
        gid.unit()
    );
    PostgresA::admin(application.postgres(), &prepare).await;
}

#[tokio::test]
async fn a_unit_whose_holder_is_another_database_is_left_alone() {
    let application = Application::new().await;
    let binds = application.process().await;
    let unit: UnitId = binds.session().unit();
    let namespace = &application.namespace;
    let id = application.id(application.file()).await;
    let replaced = format!("db1:{namespace}:{unit}:lite:{}", "0".repeat(32));
    let unknown = format!("db1:{namespace}:{unit}:elsewhere:{id}");
    for foreign in [replaced, unknown] {
        let foreign: Gid = foreign.parse().unwrap();
        prepare_postgres(&application, &foreign).await;
        let pass = binds.recover_older_than(Duration::ZERO).await;
        assert!(pass.recovered.is_empty(), "{pass}");
        assert_eq!(pass.in_doubt.len(), 1, "{pass}");
        assert!(binds.settle(&foreign).await.is_err());
        let roll_back = format!("ROLLBACK PREPARED '{foreign}:pg-a'");
        PostgresA::admin(application.postgres(), &roll_back).await;
    }
}
