//! Prepared branches of a dead process are finished with the outcome that the holder recorded.

use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::recovery::Outcome;
use diesel_binds::{Binds, RecoveryOptions};
use kit::application::{Application, Left};

async fn recovers(left: Left, expected: Outcome) {
    let application = Application::new().await;
    let gid = application.leave(left).await;
    let binds = application.process().await;

    let looked = binds.recovery().in_doubt().await;
    assert_eq!(looked.in_doubt.len(), 2, "{looked}");
    let mut in_doubt = looked.in_doubt.iter();
    assert!(in_doubt.all(|branch| branch.gid.as_ref() == Some(&gid)));

    let young = binds
        .recovery()
        .run_older_than(Duration::from_secs(3600))
        .await;
    assert!(young.recovered.is_empty(), "{young}");

    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    assert_eq!(pass.recovered.len(), 2, "{pass}");
    assert!(pass.recovered.iter().all(|one| one.outcome == expected));
    assert_eq!(
        binds.recovery().outcome_of(&gid).await.unwrap(),
        Some(expected)
    );
    assert_eq!(
        application.is_kept(&gid).await,
        expected == Outcome::Committed
    );
}

#[tokio::test]
async fn branches_whose_holder_committed_are_committed() {
    recovers(Left::Committed, Outcome::Committed).await;
}

#[tokio::test]
async fn branches_whose_holder_did_not_decide_are_rolled_back_and_can_never_commit() {
    recovers(Left::Undecided, Outcome::RolledBack).await;
}

/// Applications may share databases, and a gid may come from any of them.
#[tokio::test]
async fn an_application_is_not_asked_for_the_units_of_another() {
    let application = Application::new().await;
    let gid = application.leave(Left::Undecided).await;
    let builder = Binds::builder().recovery(RecoveryOptions::new().without_worker());
    let builder = application.register(builder).await;
    let other = builder.namespace("another").build().unwrap();
    let is_foreign = |fault: &Fault| matches!(fault, Fault::ForeignNamespace { namespace } if *namespace == application.namespace);
    let resolved = other.recovery().resolve(&gid).await.unwrap_err();
    assert!(is_foreign(&resolved.source), "{resolved:?}");
    let asked = other.recovery().outcome_of(&gid).await.unwrap_err();
    assert!(is_foreign(&asked.source), "{asked:?}");
    let own = application.process().await;
    assert_eq!(
        own.recovery().outcome_of(&gid).await.unwrap(),
        None,
        "a fence stands"
    );
    application.roll_back(&gid).await;
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
        one.recovery().run_older_than(Duration::ZERO),
        other.recovery().run_older_than(Duration::ZERO),
    );
    assert!(one.is_complete() && other.is_complete(), "{one}\n{other}");
    for (gid, left) in units {
        assert!(!application.is_prepared(&gid).await);
        assert_eq!(application.is_kept(&gid).await, left == Left::Committed);
    }
}
