//! One step of a commit, on one participant.

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::commit::participant::{Decision, Identified, LoneCommitError, Participant};
use crate::commit::protocol::{Reply, Step};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId};

/// The branch that a participant was to prepare.
pub(super) struct Prepared {
    /// The name of the branch.
    pub(super) branch: Branch,
    /// The id of the participant's database.
    pub(super) database: DatabaseId,
}

/// The reply to a step, with the fault or the id that the coordinator keeps and the protocol does not need.
pub(super) enum StepReply {
    Done,
    Asked(Reply),
    Identified(Identified),
    Outcome(Outcome),
    Failed(Fault),
    Unknown(Fault),
}

/// Carries out a step.
pub(super) fn carry_out<'a>(
    participant: &'a mut Box<dyn Participant>,
    step: Step,
    branch: Option<&'a Prepared>,
    decision: Option<&'a Decision>,
) -> BoxFuture<'a, StepReply> {
    async move {
        match (step, branch, decision) {
            (Step::Ask, ..) => match participant.ask().await {
                Ok(asked) => StepReply::Asked(Reply::Asked {
                    wrote: asked.wrote,
                    serializable: asked.serializable,
                }),
                Err(fault) => StepReply::Failed(fault),
            },
            (Step::Identify, ..) => match participant.identify().await {
                Ok(found) => StepReply::Identified(found),
                Err(fault) => StepReply::Failed(fault),
            },
            (Step::End | Step::Commit, ..) => match participant.commit().await {
                Ok(()) => StepReply::Done,
                Err(LoneCommitError::Refused(fault)) => StepReply::Failed(fault),
                Err(LoneCommitError::Unknown(fault)) => StepReply::Unknown(fault),
            },
            (Step::RollBack, ..) => {
                // `Unit::conclude` reads the result of the roll-back by `Participant::undone`.
                let _ = participant.roll_back().await;
                StepReply::Done
            }
            (Step::Prepare, Some(Prepared { branch, .. }), _) => {
                done(participant.prepare(branch).await)
            }
            (Step::Decide, _, Some(decision)) => done(participant.decide(decision).await),
            (Step::Apply, Some(Prepared { branch, database }), _) => done(
                participant
                    .finish(branch, Outcome::Committed, *database)
                    .await,
            ),
            (Step::Undo, Some(Prepared { branch, database }), _) => done(
                participant
                    .finish(branch, Outcome::RolledBack, *database)
                    .await,
            ),
            (Step::Resolve, _, Some(Decision { gid, .. })) => {
                match participant.resolve(gid).await {
                    Ok(outcome) => StepReply::Outcome(outcome),
                    Err(fault) => StepReply::Failed(fault),
                }
            }
            (Step::Prepare | Step::Decide | Step::Resolve | Step::Apply | Step::Undo, ..) => {
                unreachable!("the holder is identified before anything is prepared or decided")
            }
        }
    }
    .boxed()
}

fn done(result: Result<(), Fault>) -> StepReply {
    match result {
        Ok(()) => StepReply::Done,
        Err(fault) => StepReply::Failed(fault),
    }
}
