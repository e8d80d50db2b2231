//! One step of a commit, on one participant.

use futures_util::future::{BoxFuture, FutureExt as _};

use crate::commit::participant::{Decision, Identified, LoneCommitError, Participant};
use crate::commit::protocol::{Command, Reply};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid};

/// The branch that a participant was to prepare.
pub(super) struct Prepared {
    /// The name of the branch.
    pub(super) branch: Branch,
    /// The id of the participant's database.
    pub(super) database: DatabaseId,
}

/// The result of a step.
pub(super) enum StepResult {
    Done,
    Asked(Reply),
    Identified(Identified),
    Outcome(Outcome),
    Failed(Fault),
    Unknown(Fault),
}

/// Carries out a step.
pub(super) fn step<'a>(
    participant: &'a mut Box<dyn Participant>,
    command: Command,
    gid: Option<&'a Gid>,
    branch: Option<&'a Prepared>,
    decision: Option<&'a Decision>,
) -> BoxFuture<'a, StepResult> {
    async move {
        match (command, branch, decision) {
            (Command::Ask, ..) => match participant.ask().await {
                Ok(asked) => StepResult::Asked(Reply::Asked {
                    wrote: asked.wrote,
                    serializable: asked.serializable,
                }),
                Err(fault) => StepResult::Failed(fault),
            },
            (Command::Identify, ..) => match participant.identify().await {
                Ok(found) => StepResult::Identified(found),
                Err(fault) => StepResult::Failed(fault),
            },
            (Command::EndReader | Command::CommitAlone, ..) => match participant.commit().await {
                Ok(()) => StepResult::Done,
                Err(LoneCommitError::Refused(fault)) => StepResult::Failed(fault),
                Err(LoneCommitError::Unknown(fault)) => StepResult::Unknown(fault),
            },
            (Command::RollBack, ..) => {
                // `Unit::conclude` reads the result of the roll-back by `Participant::undone`.
                let _ = participant.roll_back().await;
                StepResult::Done
            }
            (Command::Prepare, Some(Prepared { branch, .. }), _) => {
                done(participant.prepare(branch).await)
            }
            (Command::Decide, _, Some(decision)) => done(participant.decide(decision).await),
            (Command::Apply, Some(Prepared { branch, database }), _) => done(
                participant
                    .finish(branch, Outcome::Committed, *database)
                    .await,
            ),
            (Command::Undo, Some(Prepared { branch, database }), _) => done(
                participant
                    .finish(branch, Outcome::RolledBack, *database)
                    .await,
            ),
            (Command::Resolve, ..) => {
                let gid = gid.expect("a decision is only sent when the gid is known");
                match participant.resolve(gid).await {
                    Ok(outcome) => StepResult::Outcome(outcome),
                    Err(fault) => StepResult::Failed(fault),
                }
            }
            (Command::Prepare | Command::Decide | Command::Apply | Command::Undo, ..) => {
                unreachable!("the holder is identified before anything is prepared")
            }
        }
    }
    .boxed()
}

fn done(result: Result<(), Fault>) -> StepResult {
    match result {
        Ok(()) => StepResult::Done,
        Err(fault) => StepResult::Failed(fault),
    }
}
