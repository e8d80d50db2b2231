//! The commit protocol as a state machine: no SQL, no clock, no connection.
//!
//! All writers but one prepare. The last, the *holder*, commits its own work and a row that says so in one local
//! commit: that is the decision. Nothing is committed anywhere before it, and nothing is rolled back anywhere after a
//! decision was sent and before its fate is known.
//!
//! Work goes in rounds: a round is at most one command for each member, carried out in parallel; when all replies are
//! there, [`Protocol::next`] says what follows.
//!
//! `words` says what can be said, `state` what is known, `plan` what happens before the decision, `end` what happens after it.

// Files, each of which imports only from those before it: `words`, `state`, `end`, `plan`.

mod end;
mod plan;
mod state;
mod words;

use self::end::{committed, unfinished};
pub(crate) use self::state::Protocol;
use self::state::{GivingUp, Phase};
pub use self::words::Outcome;
pub(crate) use self::words::{Command, Conclusion, Member, Next, Reply};

impl Protocol {
    /// Takes the replies to the last round, and says what follows. The first round has none.
    pub(crate) fn next(&mut self, replies: &[(usize, Command, Reply)]) -> Next {
        self.note(replies);
        let failed = replies
            .iter()
            .find(|(_, _, reply)| matches!(reply, Reply::Failed | Reply::Lost))
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
                // A reader may have turned out to be a writer.
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
                    let readers = self.open();
                    self.run(Command::EndReader, readers)
                        .unwrap_or_else(|| committed(Vec::new()))
                }
                Some(Reply::Lost) => self.give_up(GivingUp::Unknown { writer }),
                _ => self.abort(None, writer),
            },
            // What was only read cannot be lost: a failure here is an event, not an outcome.
            Phase::EndingAfterCommit => committed(Vec::new()),
            Phase::Deciding { holder } => {
                if failed.is_none() {
                    return self.apply();
                }
                // No error of a decision is interpreted. Its connection lets go, so that the fence need not wait.
                self.phase = Phase::LettingGo { holder };
                Next::Run(vec![(holder, Command::RollBack)])
            }
            Phase::LettingGo { holder } => {
                self.phase = Phase::Resolving { holder };
                Next::Run(vec![(holder, Command::Resolve)])
            }
            Phase::Resolving { holder } => match replies.first().map(|(_, _, reply)| *reply) {
                Some(Reply::Outcome(Outcome::Committed)) => self.apply(),
                Some(Reply::Outcome(Outcome::RolledBack)) => {
                    self.members[holder].ended = true;
                    self.roll_back_all(holder)
                }
                _ => Next::Done(Conclusion::InDoubt { holder }),
            },
            Phase::Applying => committed(unfinished(replies, Command::Apply)),
            Phase::RollingBackHolder { because } => self.roll_back_all(because),
            Phase::RollingBack { because } => Next::Done(Conclusion::RolledBack {
                because,
                pending: unfinished(replies, Command::Undo),
            }),
            Phase::Giving { up } => Next::Done(up.conclusion()),
        }
    }
}

#[cfg(test)]
mod tests;
