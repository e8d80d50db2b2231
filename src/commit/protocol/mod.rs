//! The commit protocol as a state machine: no SQL, no clock, no connection.
//!
//! All writers but one prepare. The last, the *holder*, commits its own work and a row that says so in one local
//! commit: that is the decision. Nothing is committed anywhere before it, and nothing is rolled back anywhere after a
//! decision was sent and before its fate is known.
//!
//! Work goes in rounds: a round is at most one command for each member, carried out in parallel; when all replies are
//! there, [`Protocol::next`] says what follows.
//!
//! `words` says what can be said, `plan` what happens before the decision, `end` what happens after it.

mod end;
mod plan;
mod words;

use self::end::{GivingUp, committed, unfinished};
pub use self::words::Outcome;
pub(crate) use self::words::{Command, Conclusion, Member, Next, Reply};

/// Where the protocol stands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Start,
    Asking,
    Identifying { holder: usize },
    Preparing { holder: usize },
    EndingReaders,
    EndingSerializable { writer: usize },
    Alone { writer: usize },
    EndingAfterCommit,
    Deciding { holder: usize },
    LettingGo { holder: usize },
    Resolving { holder: usize },
    Applying,
    RollingBackHolder { because: usize },
    RollingBack { because: usize },
    Giving { up: GivingUp },
}

/// What is known of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    member: Member,
    serializable: bool,
    /// A prepare was sent.
    maybe_prepared: bool,
    /// The prepare was confirmed.
    prepared: bool,
    /// Nothing of it is open any more.
    ended: bool,
}

/// The commit of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Protocol {
    members: Vec<State>,
    phase: Phase,
}

impl Protocol {
    pub(crate) fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let members = members
            .into_iter()
            .map(|member| State {
                member,
                serializable: false,
                maybe_prepared: false,
                prepared: false,
                ended: false,
            })
            .collect();
        Self {
            members,
            phase: Phase::Start,
        }
    }

    /// Who holds the decision, once that is planned.
    pub(crate) fn holder(&self) -> Option<usize> {
        match self.phase {
            Phase::Identifying { holder }
            | Phase::Preparing { holder }
            | Phase::Deciding { holder }
            | Phase::LettingGo { holder }
            | Phase::Resolving { holder } => Some(holder),
            _ => None,
        }
    }

    /// Who wrote, as far as is known.
    pub(crate) fn writers(&self) -> impl Iterator<Item = usize> + '_ {
        self.select(|state| state.member.writer)
    }

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
                Some(Reply::Outcome(Outcome::Commit)) => self.apply(),
                Some(Reply::Outcome(Outcome::Abort)) => {
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

    fn note(&mut self, replies: &[(usize, Command, Reply)]) {
        for (index, command, reply) in replies {
            let state = &mut self.members[*index];
            match (command, reply) {
                (
                    Command::Ask,
                    Reply::Asked {
                        wrote,
                        serializable,
                    },
                ) => {
                    state.member.writer |= wrote;
                    state.member.askable = false;
                    state.serializable = *serializable;
                }
                (Command::Identify, Reply::Done) => state.member.identified = true,
                (Command::Prepare, reply) => {
                    state.maybe_prepared = true;
                    state.prepared = *reply == Reply::Done;
                }
                (
                    Command::EndReader
                    | Command::CommitAlone
                    | Command::Decide
                    | Command::Apply
                    | Command::Undo,
                    Reply::Done,
                )
                // A lone commit that was refused has rolled back.
                | (Command::CommitAlone, Reply::Failed)
                | (Command::RollBack, _) => state.ended = true,
                _ => {}
            }
        }
    }

    fn open(&self) -> Vec<usize> {
        self.select(|state| !state.ended).collect()
    }

    fn select(&self, keep: impl Fn(&State) -> bool) -> impl Iterator<Item = usize> {
        self.members
            .iter()
            .enumerate()
            .filter(move |(_, state)| keep(state))
            .map(|(index, _)| index)
    }

    fn run(&self, command: Command, members: Vec<usize>) -> Option<Next> {
        (!members.is_empty()).then(|| {
            Next::Run(
                members
                    .into_iter()
                    .map(|member| (member, command))
                    .collect(),
            )
        })
    }
}

#[cfg(test)]
mod tests;
