//! The ends of a unit that need no protocol: the roll-back, and the commit of one participant after the other.

use futures_util::future::join_all;

use crate::commit::commit_error::{CommitError, Partial};
use crate::commit::outcome::Committed;
use crate::commit::parameters::CommitParameters;
use crate::commit::participant::{LoneCommitError, Participant};

/// Rolls all participants back. An error names the binds that may keep something.
pub(crate) async fn roll_back(
    mut participants: Vec<Box<dyn Participant>>,
) -> Result<(), CommitError> {
    let undoing = participants.iter_mut().map(|participant| async move {
        (participant.profile().key, participant.roll_back().await)
    });
    let undone = join_all(undoing).await;
    CommitError::unconfirmed(&undone).map_or(Ok(()), Err)
}

/// Returns whether two participants wrote that cannot prepare, so that the unit cannot commit atomically.
pub(crate) fn cannot_be_atomic(participants: &[Box<dyn Participant>]) -> bool {
    let unable = participants.iter().filter(|participant| {
        let profile = participant.profile();
        profile.writer && profile.cannot_prepare.is_some()
    });
    unable.count() > 1
}

/// Commits one participant after the other, and stops at the first failure.
pub(crate) async fn best_effort(
    parameters: CommitParameters,
    mut participants: Vec<Box<dyn Participant>>,
) -> Result<Committed, CommitError> {
    let mut partial = Partial::default();
    // Readers go last, so that the failure of one stops no writer.
    participants.sort_by_key(|participant| !participant.profile().writer);
    for participant in &mut participants {
        let key = participant.profile().key;
        if partial.fault.is_some() {
            partial.undone(key, participant.roll_back().await);
            continue;
        }
        match participant.commit().await {
            Ok(()) => partial.committed.push(key),
            Err(LoneCommitError::Refused(fault)) => {
                partial.undone(key, participant.undone());
                partial.fault = Some((key, fault));
            }
            Err(LoneCommitError::Unknown(fault)) => {
                partial.unknown.push(key);
                partial.fault = Some((key, fault));
            }
        }
    }
    partial.conclude(|binds| Committed {
        unit: parameters.unit,
        gid: None,
        binds,
        pending: Vec::new(),
        hook_failures: Vec::new(),
    })
}
