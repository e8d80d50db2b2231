//! The rules for each step, and for the end.

use std::fmt;

use crate::commit::Outcome;
use crate::commit::protocol::{Conclusion, Member, Reply, Step};

/// The replies to the steps of a round.
pub(super) type Replies = Vec<(usize, Step, Reply)>;

/// A rule that a run broke, and the state in which it did.
#[derive(Debug)]
pub(super) struct Broken {
    pub(super) rule: &'static str,
    world: World,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:#?}", self.rule, self.world)
    }
}

/// The real state of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Transaction {
    Open,
    Prepared,
    Committed,
    RolledBack,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Server {
    pub(super) member: Member,
    pub(super) transaction: Transaction,
    pub(super) identified: bool,
    /// The answer about writes; `None` while it is not known.
    pub(super) wrote: Option<bool>,
    /// The reads may still fail to serialize.
    pub(super) serializable: bool,
    pub(super) prepare_sent: bool,
    pub(super) prepare_confirmed: bool,
    /// A step that ends the transaction was confirmed, or its result no longer matters.
    pub(super) ended: bool,
    /// The last step failed to end the transaction.
    pub(super) end_failed: bool,
}

/// All servers of a unit, and the messages that they have received.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    pub(super) servers: Vec<Server>,
    pub(super) holder: Option<usize>,
    /// The decision is durable.
    pub(super) decided: bool,
    pub(super) decision_confirmed: bool,
    pub(super) resolved: Option<Outcome>,
    /// A prepare, a question or the end of a reader failed before the decision.
    pub(super) obstacle: bool,
}

impl World {
    pub(super) fn of(members: &[Member]) -> Self {
        let servers = members
            .iter()
            .map(|member| Server {
                member: *member,
                transaction: Transaction::Open,
                identified: member.identified,
                wrote: (!member.askable).then_some(member.writer),
                serializable: false,
                prepare_sent: false,
                prepare_confirmed: false,
                ended: false,
                end_failed: false,
            })
            .collect();
        Self {
            servers,
            holder: None,
            decided: false,
            decision_confirmed: false,
            resolved: None,
            obstacle: false,
        }
    }

    pub(super) fn broken(&self, rule: &'static str) -> Broken {
        Broken {
            rule,
            world: self.clone(),
        }
    }

    fn require(&self, holds: bool, rule: &'static str) -> Result<(), Broken> {
        if holds {
            Ok(())
        } else {
            Err(self.broken(rule))
        }
    }

    /// Checks the rules for these steps before they are sent.
    pub(super) fn check_round(&mut self, round: &[(usize, Step)]) -> Result<(), Broken> {
        self.require(!round.is_empty(), "a round has a step")?;
        for (position, (index, _)) in round.iter().enumerate() {
            let again = round[..position].iter().any(|(other, _)| other == index);
            self.require(!again, "a member gets one step in a round")?;
        }
        for (index, step) in round {
            self.check(*index, *step)?;
        }
        Ok(())
    }

    fn check(&mut self, index: usize, step: Step) -> Result<(), Broken> {
        let server = &self.servers[index];
        let others = || {
            self.servers
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != index)
        };
        let decided = self.decision_confirmed || self.resolved == Some(Outcome::Committed);
        let decision_sent = self.holder.is_some();
        if step != Step::Resolve {
            self.require(!server.ended, "nothing is sent to a member that has ended")?;
        }
        match step {
            Step::Ask | Step::Identify => {
                self.require(!decision_sent, "all questions come before the decision")
            }
            Step::Prepare => {
                self.require(!decision_sent, "all prepare before the decision")?;
                self.require(server.wrote == Some(true), "only a writer prepares")?;
                self.require(
                    server.member.can_prepare,
                    "only a member that can prepare does",
                )?;
                self.require(!server.prepare_sent, "a member prepares once")?;
                self.require(server.identified, "a member that prepares is identified")
            }
            Step::End => self.require(
                server.wrote == Some(false),
                "only a member that is known to have written nothing ends as a reader",
            ),
            Step::Commit => {
                self.require(
                    others().all(|(_, other)| other.wrote == Some(false)),
                    "a lone commit is that of the only writer",
                )?;
                self.require(
                    self.readers_stand(),
                    "serializable readers end before the commit",
                )
            }
            Step::Decide => {
                self.require(!decision_sent, "a decision is sent once")?;
                self.require(!self.obstacle, "nothing is decided after a failure")?;
                self.require(server.wrote == Some(true), "the holder wrote")?;
                self.require(server.identified, "the holder is identified")?;
                self.require(!server.prepare_sent, "the holder does not prepare")?;
                self.require(
                    others().all(|(_, other)| match other.wrote {
                        Some(true) => other.prepare_confirmed,
                        Some(false) => true,
                        None => false,
                    }),
                    "all other writers have prepared before the decision",
                )?;
                self.require(
                    self.readers_stand(),
                    "serializable readers end before the decision",
                )?;
                self.holder = Some(index);
                Ok(())
            }
            Step::Apply => {
                self.require(decided, "nothing is committed before the decision")?;
                self.require(
                    server.prepare_confirmed,
                    "only a prepared member is committed",
                )
            }
            Step::RollBack => {
                self.require(
                    !server.prepare_sent,
                    "a member that may be prepared is not just rolled back",
                )?;
                self.require(!decided, "nothing is rolled back after the decision")
            }
            Step::Undo => {
                self.require(
                    server.prepare_sent,
                    "only a member that may be prepared is undone",
                )?;
                self.require(
                    !decision_sent || self.resolved == Some(Outcome::RolledBack),
                    "nothing is undone while a decision is on its way",
                )
            }
            Step::Resolve => {
                self.require(self.holder == Some(index), "the holder is asked")?;
                self.require(server.ended, "the holder lets go before it is asked")
            }
        }
    }

    fn readers_stand(&self) -> bool {
        self.servers
            .iter()
            .all(|server| !server.serializable || server.wrote == Some(true) || server.ended)
    }

    /// Checks the rules for the end. Recovery finishes the prepared branches by the decision.
    pub(super) fn conclude(&mut self, conclusion: &Conclusion) -> Result<(), Broken> {
        let pending = match conclusion {
            Conclusion::Committed { pending } | Conclusion::RolledBack { pending, .. } => {
                pending.clone()
            }
            Conclusion::NotAtomic { .. } | Conclusion::Unknown { .. } => Vec::new(),
            Conclusion::InDoubt { .. } => (0..self.servers.len()).collect(),
        };
        for (index, server) in self.servers.iter().enumerate() {
            self.require(
                server.transaction != Transaction::Prepared || pending.contains(&index),
                "a member that stays prepared is named",
            )?;
            self.require(
                server.ended || server.end_failed || pending.contains(&index),
                "every transaction is ended, or named",
            )?;
            self.require(
                !server.end_failed
                    || server.ended
                    || !server.prepare_sent
                    || pending.contains(&index),
                "a prepared transaction whose end failed is named",
            )?;
        }
        for server in &mut self.servers {
            server.transaction = match server.transaction {
                Transaction::Prepared if self.decided => Transaction::Committed,
                Transaction::Prepared | Transaction::Open => Transaction::RolledBack,
                ended => ended,
            };
        }
        let kept = |server: &Server| server.transaction == Transaction::Committed;
        let mut writers = self
            .servers
            .iter()
            .filter(|server| server.wrote != Some(false));
        match conclusion {
            Conclusion::Committed { .. } => {
                self.require(writers.all(kept), "committed is on every writer")?;
                self.require(!self.obstacle, "nothing is committed after a failure")
            }
            Conclusion::RolledBack { because, .. } => {
                self.require(!writers.any(kept), "rolled back is on no writer")?;
                self.require(*because < self.servers.len(), "the reason is a member")
            }
            Conclusion::NotAtomic { first, second } => {
                self.require(!writers.any(kept), "not atomic is on no writer")?;
                let cannot = |index: usize| !self.servers[index].member.can_prepare;
                self.require(
                    first != second && cannot(*first) && cannot(*second),
                    "not atomic are two that cannot prepare",
                )
            }
            Conclusion::Unknown { writer } => {
                let others = self
                    .servers
                    .iter()
                    .enumerate()
                    .filter(|(index, _)| index != writer);
                self.require(
                    others
                        .into_iter()
                        .all(|(_, other)| other.wrote == Some(false)),
                    "only a lone writer is unknown",
                )
            }
            Conclusion::InDoubt { holder } => {
                let first = writers.next().map(kept);
                self.require(
                    writers.all(|server| Some(kept(server)) == first),
                    "a unit in doubt is not torn",
                )?;
                self.require(self.resolved.is_none(), "a resolved unit is not in doubt")?;
                self.require(self.holder == Some(*holder), "the holder is in doubt")
            }
        }
    }
}
