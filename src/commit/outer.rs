//! The end of a unit within outer transactions: its savepoints are released, and nothing is committed.

use crate::commit::Fault;
use crate::commit::coordinator::CommitParameters;
use crate::commit::outcome::{CommitError, Partial, Released};
use crate::commit::participant::{Participant, Profile};
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
    if parameters.rehearses
        && let Err(refusal) = rehearse(&parameters, &mut participants).await
    {
        match refusal {
            Refusal::Fault(key, fault) => partial.fault = Some((key, fault)),
            Refusal::NotAtomic(error) => {
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
        unit: parameters.unit,
        binds,
        hook_failures: Vec::new(),
    })
}

/// The reason why a commit would refuse the unit.
enum Refusal {
    Fault(&'static str, Fault),
    NotAtomic(CommitError),
}

/// Refuses a unit that the commit of several writers would refuse before it prepares any. Possible writers are asked,
/// two writers that cannot prepare are refused, and each writer must be identified.
async fn rehearse(
    parameters: &CommitParameters,
    participants: &mut [Box<dyn Participant>],
) -> Result<(), Refusal> {
    #[cfg(feature = "testing")]
    if parameters.faults.is_some()
        && let Some(participant) = participants.first()
    {
        let key = participant.profile().key;
        return Err(Refusal::Fault(key, Fault::Sandbox));
    }
    let several = participants.len() > 1;
    let mut writers: Vec<(&mut Box<dyn Participant>, Profile)> = Vec::new();
    for participant in participants {
        let profile = participant.profile();
        let wrote = if several && profile.askable && !profile.writer {
            let asked = participant.ask().await;
            asked
                .map_err(|fault| Refusal::Fault(profile.key, fault))?
                .wrote
        } else {
            profile.writer
        };
        if wrote {
            writers.push((participant, profile));
        }
    }
    if let [(_, only)] = writers.as_slice()
        && !only.needs_decision_row
    {
        return Ok(());
    }
    let unable = writers.iter().filter_map(|(_, profile)| {
        let reason = profile.cannot_prepare.clone()?;
        Some((profile.key, reason))
    });
    if let [(first, _), (second, reason), ..] = unable.collect::<Vec<_>>().as_slice() {
        if parameters.best_effort {
            return Ok(());
        }
        return Err(Refusal::NotAtomic(CommitError::NotAtomic {
            first,
            second,
            reason: reason.clone(),
        }));
    }
    for (participant, profile) in writers {
        let identified = participant.identify().await;
        identified.map_err(|fault| Refusal::Fault(profile.key, fault))?;
    }
    Ok(())
}
