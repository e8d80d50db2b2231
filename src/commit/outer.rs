//! The end of a unit within outer transactions: its savepoints are released, and nothing is committed.

use crate::commit::commit_error::{CommitError, Partial};
use crate::commit::coordinator::{Refusal, rehearse};
use crate::commit::outcome::Released;
use crate::commit::parameters::CommitParameters;
use crate::commit::participant::Participant;
#[cfg(feature = "testing")]
use crate::commit::sandbox_error::SandboxError;
use crate::commit::without_protocol::roll_back;

/// Releases the savepoint of each participant, or rolls back to all of them.
///
/// Each participant is first asked whether it could. A release that fails after that has lost its connection, and with
/// it the outer transaction.
pub(crate) async fn release(
    parameters: CommitParameters,
    mut participants: Vec<Box<dyn Participant>>,
) -> Result<Released, CommitError> {
    let mut partial = Partial::default();
    let unit = parameters.unit;
    if parameters.rehearses {
        let best_effort = parameters.best_effort;
        let refusal;
        (participants, refusal) = try_out(parameters, participants).await;
        match refusal {
            None => {}
            Some(Refusal::Fault(key, fault)) => partial.fault = Some((key, fault)),
            Some(Refusal::NotAtomic(_)) if best_effort => {}
            Some(Refusal::NotAtomic(error)) => {
                let rolled_back = roll_back(participants).await;
                return Err(rolled_back.err().unwrap_or(error));
            }
        }
    }
    // A participant that really commits may be refused even now, and then no savepoint has been released.
    participants.sort_by_key(|participant| participant.profile().within_outer);
    for participant in &mut participants {
        if partial.fault.is_some() {
            break;
        }
        if let Err(fault) = participant.releasable().await {
            partial.fault = Some((participant.profile().key, fault));
        }
    }
    for participant in &mut participants {
        let key = participant.profile().key;
        if partial.fault.is_none() {
            match participant.release().await {
                Ok(()) => {
                    partial.committed.push(key);
                    continue;
                }
                Err(fault) => partial.fault = Some((key, fault)),
            }
        }
        partial.undone(key, participant.roll_back().await);
    }
    partial.conclude(|binds| Released {
        unit,
        binds,
        hook_failures: Vec::new(),
    })
}

/// Rehearses the commit. A plan of faults is refused: it names points that a rehearsal does not have.
async fn try_out(
    parameters: CommitParameters,
    participants: Vec<Box<dyn Participant>>,
) -> (Vec<Box<dyn Participant>>, Option<Refusal>) {
    #[cfg(feature = "testing")]
    if parameters.faults.is_some()
        && let Some(participant) = participants.first()
    {
        let refusal = Refusal::Fault(participant.profile().key, SandboxError::RealDatabase.into());
        return (participants, Some(refusal));
    }
    rehearse(parameters, participants).await
}
