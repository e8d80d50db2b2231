//! The commit protocol as a state machine: no SQL, no clock, no connection.
//!
//! All writers but one prepare. The last, the *holder*, commits its own work and a decision row in one local commit:
//! the decision. Nothing is committed anywhere before it. After it was sent, nothing is rolled back anywhere before its
//! fate is known.
//!
//! The protocol works in rounds: a round is at most one step for each member, carried out in parallel. When all
//! replies have arrived, [`Protocol::next`] returns the next round.
//!
//! `words` has steps and replies, `state` the state of a commit, `plan` the steps before the decision, `end` those
//! after it.

// Files, each of which imports only from those before it: `words`, `state`, `end`, `plan`.

mod end;
mod plan;
mod state;
mod words;

use self::end::{committed, unfinished};
use self::state::Phase;
pub(crate) use self::state::Protocol;
pub use self::words::Outcome;
#[cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public as `testing::Step`")
)]
pub use self::words::Step;
pub(crate) use self::words::{Conclusion, Member, Next, Refused, Reply};

impl Protocol {
    /// Takes the replies to the last round, and returns the next round or the conclusion. The first call has no
    /// replies.
    pub(crate) fn next(&mut self, replies: &[(usize, Step, Reply)]) -> Next {
        self.note(replies);
        let failed = replies
            .iter()
            .find(|(_, _, reply)| matches!(reply, Reply::Failed | Reply::Unknown))
            .map(|(index, _, _)| *index);
        match self.phase.clone() {
            Phase::Start => self.start(),
            Phase::Asking => match failed {
                Some(because) => self.abort(None, because),
                None => self.plan(),
            },
            Phase::Identifying { holder } => match failed {
                Some(because) => self.abort(Some(holder), because),
                None => self.prepare(holder),
            },
            Phase::Preparing { holder } => match failed {
                Some(because) => self.abort(Some(holder), because),
                // The question of this round may have shown that a reader is a writer.
                None => self.identify(holder),
            },
            Phase::EndingReaders => match failed {
                Some(because) => self.abort(None, because),
                None => committed(Vec::new()),
            },
            Phase::EndingSerializable { writer } => match failed {
                Some(because) => self.abort(Some(writer), because),
                None => self.commit_alone(writer),
            },
            Phase::Alone { writer } => match replies.first().map(|(_, _, reply)| *reply) {
                Some(Reply::Done) => {
                    self.phase = Phase::EndingAfterCommit;
                    self.round_of(Step::End, |state| !state.ended)
                        .unwrap_or_else(|| committed(Vec::new()))
                }
                Some(Reply::Unknown) => self.end_without_commit(Conclusion::Unknown { writer }),
                _ => self.abort(None, writer),
            },
            // A failure here loses nothing, since these members only read. It is logged, and does not change the
            // outcome.
            Phase::EndingAfterCommit => committed(Vec::new()),
            Phase::Deciding { holder } => {
                if failed.is_none() {
                    return self.apply();
                }
                // No error of a decision is interpreted. The holder's connection rolls back first, so that the fence
                // need not wait for it.
                self.phase = Phase::LettingGo { holder };
                Next::Run(vec![(holder, Step::RollBack)])
            }
            Phase::LettingGo { holder } => {
                self.phase = Phase::Resolving { holder };
                Next::Run(vec![(holder, Step::Resolve)])
            }
            Phase::Resolving { holder } => match replies.first().map(|(_, _, reply)| *reply) {
                Some(Reply::Outcome(Outcome::Committed)) => self.apply(),
                Some(Reply::Outcome(Outcome::RolledBack)) => {
                    self.members[holder].ended = true;
                    self.roll_back_all(holder)
                }
                _ => Next::Done(Conclusion::InDoubt { holder }),
            },
            Phase::Applying => committed(unfinished(replies, Step::Apply)),
            Phase::RollingBackHolder { because } => self.roll_back_all(because),
            Phase::RollingBack { because } => Next::Done(Conclusion::RolledBack {
                because,
                pending: unfinished(replies, Step::Undo),
            }),
            Phase::EndingWithoutCommit { conclusion } => Next::Done(conclusion),
        }
    }
}

#[cfg(test)]
mod tests;
