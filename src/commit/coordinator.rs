//! The coordinator: carries out the steps of the protocol on real participants.

// Files, each of which imports only from those before it: `step`, `injected`, `unit`.

#[cfg(feature = "testing")]
mod injected;
mod step;
#[cfg(test)]
mod tests;
mod unit;

use crate::commit::commit_error::CommitError;
use crate::commit::outcome::Committed;
use crate::commit::parameters::CommitParameters;
use crate::commit::participant::Participant;
use crate::commit::protocol::{Next, Reply, Step};

pub(crate) use self::unit::Refusal;
use self::unit::Unit;

/// Commits all participants, or none.
///
/// Must run on a task of its own: dropping this future has the effect of a crash of the process.
pub(crate) async fn commit(
    parameters: CommitParameters,
    participants: Vec<Box<dyn Participant>>,
) -> Result<Committed, CommitError> {
    let (mut protocol, mut unit) = Unit::begin(parameters, participants);
    let mut replies = Vec::new();
    loop {
        match protocol.next(&replies) {
            Next::Run(round) => {
                let decision = unit.decision(&protocol);
                replies = unit.run(&round, &protocol, decision.as_ref()).await;
                #[cfg(feature = "testing")]
                if unit.injection.has_died() {
                    return Err(unit.die().await);
                }
            }
            Next::Done(conclusion) => return unit.conclude(conclusion),
        }
    }
}

/// Carries out the steps before the decision that only ask, as if all others succeeded. Returns the participants, and
/// the reason if a commit would refuse them.
pub(crate) async fn rehearse(
    parameters: CommitParameters,
    participants: Vec<Box<dyn Participant>>,
) -> (Vec<Box<dyn Participant>>, Option<Refusal>) {
    let (mut protocol, mut unit) = Unit::begin(parameters, participants);
    let mut replies = Vec::new();
    loop {
        let next = protocol.next(&replies);
        if let Some(refused) = protocol.refused() {
            let refusal = unit.refusal(refused);
            return (unit.participants, Some(refusal));
        }
        let Next::Run(round) = next else { break };
        if round
            .iter()
            .any(|(_, step)| matches!(step, Step::Decide | Step::Commit))
        {
            break;
        }
        let (asked, assumed): (Vec<_>, Vec<_>) = round
            .into_iter()
            .partition(|(_, step)| matches!(step, Step::Ask | Step::Identify));
        replies = unit.run(&asked, &protocol, None).await;
        replies.extend(
            assumed
                .into_iter()
                .map(|(index, step)| (index, step, Reply::Done)),
        );
    }
    (unit.participants, None)
}
