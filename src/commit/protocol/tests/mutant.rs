//! Broken protocols: each is wrong in one way.

use super::Machine;
use crate::commit::Outcome;
use crate::commit::protocol::{Conclusion, Member, Next, Protocol, Reply, Step};

/// The defect of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Mutation {
    /// Assumes this reply without giving the step.
    Skip(Step, Reply),
    /// Takes one reply to a step for another.
    Misread(Step, Reply, Reply),
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
        Skip(Step::Ask, not_written),
        Skip(Step::Identify, Reply::Done),
        Skip(Step::Prepare, Reply::Done),
        Skip(Step::End, Reply::Done),
        Skip(Step::Decide, Reply::Done),
        Skip(Step::RollBack, Reply::Done),
        Skip(Step::Resolve, Reply::Outcome(Outcome::RolledBack)),
        Skip(Step::Resolve, Reply::Outcome(Outcome::Committed)),
        Skip(Step::Apply, Reply::Done),
        Skip(Step::Undo, Reply::Done),
        Misread(Step::Ask, Reply::Failed, not_written),
        Misread(Step::Identify, Reply::Failed, Reply::Done),
        Misread(Step::Prepare, Reply::Failed, Reply::Done),
        Misread(Step::End, Reply::Failed, Reply::Done),
        Misread(Step::End, Reply::Unknown, Reply::Done),
        Misread(Step::Commit, Reply::Failed, Reply::Done),
        Misread(Step::Commit, Reply::Unknown, Reply::Done),
        Misread(Step::Commit, Reply::Unknown, Reply::Failed),
        Misread(Step::Decide, Reply::Failed, Reply::Done),
        Misread(
            Step::Resolve,
            Reply::Failed,
            Reply::Outcome(Outcome::RolledBack),
        ),
        Misread(
            Step::Resolve,
            Reply::Failed,
            Reply::Outcome(Outcome::Committed),
        ),
        Misread(Step::Apply, Reply::Failed, Reply::Done),
        Misread(Step::Undo, Reply::Failed, Reply::Done),
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
    made_up: Vec<(usize, Step, Reply)>,
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
    fn read(&self, replies: &[(usize, Step, Reply)]) -> Vec<(usize, Step, Reply)> {
        let mut read = replies.to_vec();
        if let Mutation::Misread(step, from, to) = self.mutation {
            for (_, of, reply) in &mut read {
                if *of == step && *reply == from {
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

    fn next(&mut self, replies: &[(usize, Step, Reply)]) -> Next {
        let failed_decision = replies
            .iter()
            .find(|(_, step, reply)| *step == Step::Decide && *reply == Reply::Failed);
        if let (Mutation::DecideAgain, Some((holder, ..)), false) =
            (self.mutation, failed_decision, self.used)
        {
            self.used = true;
            return Next::Run(vec![(*holder, Step::Decide)]);
        }
        let mut replies = self.read(replies);
        replies.append(&mut self.made_up);
        loop {
            let mut next = self.protocol.next(&replies);
            match (self.mutation, &mut next) {
                (Mutation::Skip(step, reply), Next::Run(round)) => {
                    let skipped = round.iter().filter(|(_, given)| *given == step);
                    let skipped: Vec<_> = skipped
                        .map(|(index, given)| (*index, *given, reply))
                        .collect();
                    round.retain(|(_, given)| *given != step);
                    if round.is_empty() {
                        replies = skipped;
                        continue;
                    }
                    self.made_up = skipped;
                }
                (Mutation::ApplyEarly, Next::Run(round)) if round[0].1 == Step::Decide => {
                    round.extend(
                        self.prepared()
                            .into_iter()
                            .map(|index| (index, Step::Apply)),
                    );
                }
                (Mutation::DecideEarly, Next::Run(round)) => {
                    let prepares = round.iter().any(|(_, given)| *given == Step::Prepare);
                    if let (true, Some(holder)) = (prepares, self.protocol.holder()) {
                        round.push((holder, Step::Decide));
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
