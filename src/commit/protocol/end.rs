//! The steps after the fate of the unit is known: commit the prepared branches, or roll back the open transactions.

use crate::commit::protocol::state::{Phase, Protocol, round};
use crate::commit::protocol::words::{Conclusion, Next, Reply, Step};

impl Protocol {
    /// Commits the prepared branches and ends the readers. The decision is durable.
    pub(super) fn apply(&mut self) -> Next {
        self.phase = Phase::Applying;
        let steps = self.each_open(|state| match state.prepared {
            true => Step::Apply,
            false => Step::End,
        });
        round(steps).unwrap_or_else(|| committed(Vec::new()))
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
        round(self.undoing()).unwrap_or(Next::Done(Conclusion::RolledBack {
            because,
            pending: Vec::new(),
        }))
    }

    /// Rolls back all members but one whose commit was sent, and then concludes.
    pub(super) fn end_without_commit(&mut self, conclusion: Conclusion) -> Next {
        self.phase = Phase::EndingWithoutCommit {
            conclusion: conclusion.clone(),
        };
        let mut steps = self.undoing();
        steps.retain(|(index, _)| conclusion != Conclusion::Unknown { writer: *index });
        round(steps).unwrap_or(Next::Done(conclusion))
    }

    /// Returns the steps that roll back every member whose transaction is open or may be prepared.
    fn undoing(&self) -> Vec<(usize, Step)> {
        self.each_open(|state| match state.maybe_prepared {
            true => Step::Undo,
            false => Step::RollBack,
        })
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
