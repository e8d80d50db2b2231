//! The steps after the fate of the unit is known: commit the prepared branches, or roll back the open transactions.

use crate::commit::protocol::state::{Phase, Protocol, WithoutCommit};
use crate::commit::protocol::words::{Conclusion, Next, Reply, Step};

impl Protocol {
    /// Commits the prepared branches and ends the readers. The decision is durable.
    pub(super) fn apply(&mut self) -> Next {
        self.phase = Phase::Applying;
        let round: Vec<(usize, Step)> = self
            .members
            .iter()
            .enumerate()
            .filter(|(_, state)| !state.ended)
            .map(|(index, state)| {
                let step = if state.prepared {
                    Step::Apply
                } else {
                    Step::End
                };
                (index, step)
            })
            .collect();
        if round.is_empty() {
            return committed(Vec::new());
        }
        Next::Run(round)
    }

    /// Rolls the unit back. No decision was sent. The holder goes first, because it alone could still decide.
    pub(super) fn abort(&mut self, holder: Option<usize>, because: usize) -> Next {
        match holder.filter(|holder| !self.members[*holder].ended) {
            Some(holder) => {
                self.phase = Phase::RollingBackHolder { because };
                Next::Run(vec![(holder, Step::RollBack)])
            }
            None => self.roll_back_all(because),
        }
    }

    pub(super) fn roll_back_all(&mut self, because: usize) -> Next {
        self.phase = Phase::RollingBack { because };
        let round = self.undoing();
        if round.is_empty() {
            return Next::Done(Conclusion::RolledBack {
                because,
                pending: Vec::new(),
            });
        }
        Next::Run(round)
    }

    pub(super) fn end_without_commit(&mut self, reason: WithoutCommit) -> Next {
        self.phase = Phase::EndingWithoutCommit { reason };
        let round = self
            .undoing()
            .into_iter()
            .filter(|(index, _)| reason != WithoutCommit::Unknown { writer: *index })
            .collect::<Vec<_>>();
        if round.is_empty() {
            return Next::Done(reason.conclusion());
        }
        Next::Run(round)
    }

    pub(super) fn undoing(&self) -> Vec<(usize, Step)> {
        self.members
            .iter()
            .enumerate()
            .filter(|(_, state)| !state.ended)
            .map(|(index, state)| {
                let step = if state.maybe_prepared {
                    Step::Undo
                } else {
                    Step::RollBack
                };
                (index, step)
            })
            .collect()
    }
}

/// Returns the members whose branches are not confirmed as finished.
pub(super) fn unfinished(replies: &[(usize, Step, Reply)], finishing: Step) -> Vec<usize> {
    replies
        .iter()
        .filter(|(_, step, reply)| *step == finishing && *reply != Reply::Done)
        .map(|(index, _, _)| *index)
        .collect()
}

pub(super) fn committed(pending: Vec<usize>) -> Next {
    Next::Done(Conclusion::Committed { pending })
}
