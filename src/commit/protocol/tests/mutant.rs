//! Broken protocols: each is wrong in one way.

use super::Machine;
use crate::commit::Outcome;
use crate::commit::protocol::{Command, Conclusion, Member, Next, Protocol, Reply};

/// The defect of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mutation {
    /// Assumes this reply without giving the command.
    Skip(Command, Reply),
    /// Takes one reply to a command for another.
    Misread(Command, Reply, Reply),
    /// Sends a decision again that failed.
    DecideAgain,
    /// Sends the commits of the prepared branches along with the decision.
    ApplyEarly,
    /// Sends the decision along with the prepares.
    DecideEarly,
    /// Reports a unit in doubt as rolled back.
    DoubtIsRollback,
    /// Reports no pending member.
    ForgetPending,
}

/// Returns all defects.
pub(super) fn all() -> Vec<Mutation> {
    use Mutation::{
        ApplyEarly, DecideAgain, DecideEarly, DoubtIsRollback, ForgetPending, Misread, Skip,
    };
    let not_written = Reply::Asked {
        wrote: false,
        serializable: false,
    };
    vec![
        Skip(Command::Ask, not_written),
        Skip(Command::Identify, Reply::Done),
        Skip(Command::Prepare, Reply::Done),
        Skip(Command::EndReader, Reply::Done),
        Skip(Command::Decide, Reply::Done),
        Skip(Command::RollBack, Reply::Done),
        Skip(Command::Resolve, Reply::Outcome(Outcome::RolledBack)),
        Skip(Command::Resolve, Reply::Outcome(Outcome::Committed)),
        Skip(Command::Apply, Reply::Done),
        Skip(Command::Undo, Reply::Done),
        Misread(Command::Ask, Reply::Failed, not_written),
        Misread(Command::Identify, Reply::Failed, Reply::Done),
        Misread(Command::Prepare, Reply::Failed, Reply::Done),
        Misread(Command::EndReader, Reply::Failed, Reply::Done),
        Misread(Command::EndReader, Reply::Unknown, Reply::Done),
        Misread(Command::CommitAlone, Reply::Failed, Reply::Done),
        Misread(Command::CommitAlone, Reply::Unknown, Reply::Done),
        Misread(Command::CommitAlone, Reply::Unknown, Reply::Failed),
        Misread(Command::Decide, Reply::Failed, Reply::Done),
        Misread(
            Command::Resolve,
            Reply::Failed,
            Reply::Outcome(Outcome::RolledBack),
        ),
        Misread(
            Command::Resolve,
            Reply::Failed,
            Reply::Outcome(Outcome::Committed),
        ),
        Misread(Command::Apply, Reply::Failed, Reply::Done),
        Misread(Command::Undo, Reply::Failed, Reply::Done),
        DecideAgain,
        ApplyEarly,
        DecideEarly,
        DoubtIsRollback,
        ForgetPending,
    ]
}

/// The protocol with one mutation.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Mutant {
    protocol: Protocol,
    mutation: Mutation,
    /// The assumed replies, for the next round.
    made_up: Vec<(usize, Command, Reply)>,
    used: bool,
}

impl Mutant {
    pub(super) fn new(members: &[Member], mutation: Mutation) -> Self {
        Self {
            protocol: Protocol::of(members),
            mutation,
            made_up: Vec::new(),
            used: false,
        }
    }

    /// Returns the replies as the mutant reads them.
    fn read(&self, replies: &[(usize, Command, Reply)]) -> Vec<(usize, Command, Reply)> {
        let mut read = replies.to_vec();
        if let Mutation::Misread(command, from, to) = self.mutation {
            for (_, of, reply) in &mut read {
                if *of == command && *reply == from {
                    *reply = to;
                }
            }
        }
        read
    }

    /// Returns the members that the protocol takes for prepared.
    fn prepared(&self) -> Vec<usize> {
        self.protocol.select(|state| state.prepared).collect()
    }
}

impl Machine for Mutant {
    fn of(_: &[Member]) -> Self {
        unreachable!("a mutant has a mutation")
    }

    fn next(&mut self, replies: &[(usize, Command, Reply)]) -> Next {
        let failed_decision = replies
            .iter()
            .find(|(_, command, reply)| *command == Command::Decide && *reply == Reply::Failed);
        if let (Mutation::DecideAgain, Some((holder, ..)), false) =
            (self.mutation, failed_decision, self.used)
        {
            self.used = true;
            return Next::Run(vec![(*holder, Command::Decide)]);
        }
        let mut replies = self.read(replies);
        replies.append(&mut self.made_up);
        loop {
            let mut next = self.protocol.next(&replies);
            match (self.mutation, &mut next) {
                (Mutation::Skip(command, reply), Next::Run(round)) => {
                    let skipped = round.iter().filter(|(_, given)| *given == command);
                    let skipped: Vec<_> = skipped
                        .map(|(index, given)| (*index, *given, reply))
                        .collect();
                    round.retain(|(_, given)| *given != command);
                    if round.is_empty() {
                        replies = skipped;
                        continue;
                    }
                    self.made_up = skipped;
                }
                (Mutation::ApplyEarly, Next::Run(round)) if round[0].1 == Command::Decide => {
                    round.extend(
                        self.prepared()
                            .into_iter()
                            .map(|index| (index, Command::Apply)),
                    );
                }
                (Mutation::DecideEarly, Next::Run(round)) => {
                    let prepares = round.iter().any(|(_, given)| *given == Command::Prepare);
                    if let (true, Some(holder)) = (prepares, self.protocol.holder()) {
                        round.push((holder, Command::Decide));
                    }
                }
                (
                    Mutation::DoubtIsRollback,
                    Next::Done(conclusion @ Conclusion::InDoubt { .. }),
                ) => {
                    *conclusion = Conclusion::RolledBack {
                        because: 0,
                        pending: Vec::new(),
                    };
                }
                (
                    Mutation::ForgetPending,
                    Next::Done(
                        Conclusion::Committed { pending } | Conclusion::RolledBack { pending, .. },
                    ),
                ) => pending.clear(),
                _ => {}
            }
            return next;
        }
    }
}
