//! The end of a sandbox, and sessions that outlive it.

use diesel_binds::error::Fault;
use diesel_binds::testing::SandboxError;
use diesel_binds::{CommitError, Error};
use kit::side::Side;

use super::Outside;
use crate::suite::dead::Killed;

/// Regression test: the commit of such a unit was confirmed, because nothing had failed on its connection.
pub(crate) async fn a_unit_that_outlives_its_sandbox_cannot_commit<S: Side>() {
    let outside = Outside::<S>::new().await;
    for (is_dropped, queries) in [(true, false), (true, true), (false, false)] {
        let sandbox = outside.sandbox().await;
        let mut session = sandbox.binds().session();
        S::write(&session, "one").await.unwrap();
        if is_dropped {
            drop(sandbox);
        } else {
            let open = sandbox.end().await;
            assert!(
                matches!(open, Err(SandboxError::StillOpen { .. })),
                "{open:?}"
            );
        }
        if queries {
            let read = S::read(&session).await;
            assert!(
                matches!(read, Err(Error::Sandbox(SandboxError::Ended { .. }))),
                "{read:?}"
            );
        }
        let refused = session.commit_all().await;
        assert!(
            matches!(
                &refused,
                Err(CommitError::RolledBack { source: Fault::Sandbox(error), .. })
                    if matches!(**error, SandboxError::Ended { .. })
            ),
            "{refused:?}"
        );
        let read = S::read(&session).await;
        assert!(
            matches!(read, Err(Error::Closed { .. } | Error::Pool { .. })),
            "{read:?}"
        );
        assert_eq!(outside.kept().await, ["there"]);
    }
}

/// The next unit finds it at its begin.
pub(crate) async fn a_connection_that_the_server_closed_is_reported<S: Side>() {
    let outside = Outside::<S>::new().await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    S::write(&session, "gone").await.unwrap();
    session.commit_all().await.unwrap();
    Killed::JustBefore.kill_all(&outside.database).await;
    let lost = S::read(&session).await.unwrap_err();
    assert!(
        matches!(
            lost,
            Error::Sandbox(SandboxError::Lost {
                source: Some(_),
                ..
            })
        ),
        "{lost:?}"
    );
    assert!(!lost.is_retryable());
    let later = S::read(&sandbox.binds().session()).await.unwrap_err();
    assert!(
        matches!(later, Error::Sandbox(SandboxError::Lost { .. })),
        "{later:?}"
    );
    drop(session);
    let ended = sandbox.end().await;
    assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
    assert_eq!(outside.kept().await, ["there"]);
}
