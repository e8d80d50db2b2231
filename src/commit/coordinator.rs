//! Carries out what the protocol says, on real participants.

#[cfg(feature = "testing")]
mod injected;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures_util::future::{BoxFuture, FutureExt as _, join_all};
use tracing::{Instrument as _, Span};

use crate::commit::outcome::{CommitError, Committed, Partial};
use crate::commit::participant::{Aloneness, Decision, Participant, Profile};
use crate::commit::protocol::{Command, Conclusion, Member, Next, Protocol, Reply};
use crate::commit::{Fault, Outcome};
use crate::gid::{DatabaseId, Gid, UnitId};
use crate::trace;

/// What a commit is about.
#[derive(Debug)]
pub(crate) struct Orders {
    pub(crate) unit: UnitId,
    pub(crate) namespace: Arc<str>,
    /// The span of the unit, unless it ran no query.
    pub(crate) trace: Option<trace::UnitTrace>,
    /// Where nothing is committed: what the commit would refuse is refused all the same.
    pub(crate) rehearses: bool,
    /// What is to fail.
    #[cfg(feature = "testing")]
    pub(crate) faults: Option<crate::commit::FaultPlan>,
}

/// Commits all participants, or none.
///
/// To be run on a task of its own: dropping this future is what a crash of the process is.
pub(crate) async fn commit(
    orders: Orders,
    participants: Vec<Box<dyn Participant>>,
) -> Result<Committed, CommitError> {
    let profiles: Vec<Profile> = participants.iter().map(|p| p.profile()).collect();
    let alone = profiles.len() == 1;
    let mut protocol = Protocol::new(profiles.iter().map(|profile| Member {
        // A function in a `SELECT` may have written. Alone, that costs nothing to assume, and a lost reply is then not
        // taken for a roll-back.
        writer: profile.writer || (alone && !profile.read_only),
        ..member(profile)
    }));
    let mut unit = Unit {
        databases: profiles.iter().map(|profile| profile.database).collect(),
        faults: participants.iter().map(|_| None).collect(),
        #[cfg(feature = "testing")]
        injection: injected::Injection::new(orders.faults.clone()),
        orders,
        profiles,
        participants,
        gid: None,
    };
    let mut replies = Vec::new();
    loop {
        match protocol.next(&replies) {
            Next::Run(round) => {
                let decision = unit.decision(&protocol);
                replies = unit.run(&round, decision.as_ref()).await;
                #[cfg(feature = "testing")]
                if unit.injection.has_died() {
                    return Err(unit.die().await);
                }
            }
            Next::Done(conclusion) => return unit.conclude(conclusion),
        }
    }
}

/// Rolls all participants back.
pub(crate) async fn roll_back(mut participants: Vec<Box<dyn Participant>>) {
    join_all(participants.iter_mut().map(|p| p.roll_back())).await;
}

/// Commits one participant after the other, and stops at the first that does not.
pub(crate) async fn best_effort(
    orders: Orders,
    mut participants: Vec<Box<dyn Participant>>,
) -> Result<Committed, CommitError> {
    let mut partial = Partial::default();
    // Who only read goes last: it cannot stand in the way of anybody.
    participants.sort_by_key(|participant| !participant.profile().writer);
    for participant in &mut participants {
        let key = participant.profile().key;
        if partial.fault.is_some() {
            participant.roll_back().await;
            partial.rolled_back.push(key);
            continue;
        }
        match participant.commit().await {
            Ok(()) => partial.committed.push(key),
            Err(Aloneness::Refused(fault)) => {
                partial.rolled_back.push(key);
                partial.fault = Some((key, fault));
            }
            Err(Aloneness::Lost(fault)) => {
                partial.unknown.push(key);
                partial.fault = Some((key, fault));
            }
        }
    }
    partial.conclude(orders.unit, false)
}

fn member(profile: &Profile) -> Member {
    Member {
        writer: profile.writer,
        askable: profile.askable,
        identified: profile.database.is_some(),
        can_prepare: profile.cannot_prepare.is_none(),
        holder_rank: profile.holder_rank,
        records: profile.records,
    }
}

/// A unit while it commits.
struct Unit {
    orders: Orders,
    participants: Vec<Box<dyn Participant>>,
    profiles: Vec<Profile>,
    databases: Vec<Option<DatabaseId>>,
    faults: Vec<Option<Fault>>,
    gid: Option<Gid>,
    #[cfg(feature = "testing")]
    injection: injected::Injection,
}

impl Unit {
    /// The record that would commit the unit, as soon as its holder is known.
    fn decision(&mut self, protocol: &Protocol) -> Option<Decision> {
        if let Some(holder) = protocol.holder()
            && let Some(holder_id) = self.databases[holder]
        {
            let gid = Gid {
                namespace: self.orders.namespace.as_ref().into(),
                unit: self.orders.unit,
                holder: self.profiles[holder].key.into(),
                holder_id,
            };
            self.gid = Some(gid.clone());
            let participants = protocol
                .writers()
                .filter(|writer| *writer != holder)
                .filter_map(|writer| Some((self.profiles[writer].key, self.databases[writer]?)))
                .collect();
            return Some(Decision { gid, participants });
        }
        None
    }

    async fn run(
        &mut self,
        round: &[(usize, Command)],
        decision: Option<&Decision>,
    ) -> Vec<(usize, Command, Reply)> {
        let gid = self.gid.as_ref();
        let steps = self
            .participants
            .iter_mut()
            .enumerate()
            .filter_map(|(index, participant)| {
                let (_, command) = round.iter().find(|(member, _)| *member == index)?;
                let key = self.profiles[index].key;
                let span = trace::commit_step(key, command, self.orders.unit, gid);
                #[cfg(not(feature = "testing"))]
                let result = step(participant, key, *command, gid, decision);
                #[cfg(feature = "testing")]
                let result =
                    injected::step(&self.injection, participant, key, *command, gid, decision);
                Some(
                    result
                        .instrument(span.clone())
                        .map(move |result| (index, *command, span, result)),
                )
            });
        let results = join_all(steps).await;
        results
            .into_iter()
            .map(|(index, command, span, result)| {
                let reply = match result {
                    StepResult::Done => Reply::Done,
                    StepResult::Asked(reply) => reply,
                    StepResult::Outcome(outcome) => Reply::Outcome(outcome),
                    StepResult::Identified(id) => {
                        self.databases[index] = Some(id);
                        Reply::Done
                    }
                    StepResult::Failed(fault) => {
                        self.failed(&span, index, command, fault, Reply::Failed)
                    }
                    StepResult::Lost(fault) => {
                        self.failed(&span, index, command, fault, Reply::Lost)
                    }
                };
                (index, command, reply)
            })
            .collect()
    }

    /// Keeps the first fault of each: what follows from it is not the reason.
    fn failed(
        &mut self,
        span: &Span,
        index: usize,
        command: Command,
        fault: Fault,
        reply: Reply,
    ) -> Reply {
        span.record("error.type", fault.word());
        span.record("otel.status_code", "ERROR");
        tracing::debug!(
            target: "diesel_binds::commit",
            parent: span,
            bind = self.profiles[index].key,
            %command,
            error = &fault as &dyn std::error::Error,
            "a step of a commit failed"
        );
        let kept = &mut self.faults[index];
        if kept.is_none() || command == Command::Resolve {
            *kept = Some(fault);
        }
        reply
    }

    fn conclude(mut self, conclusion: Conclusion) -> Result<Committed, CommitError> {
        let keys = |indices: Vec<usize>| -> Vec<&'static str> {
            indices
                .into_iter()
                .map(|index| self.profiles[index].key)
                .collect()
        };
        match conclusion {
            Conclusion::Committed { pending } => {
                let pending = keys(pending);
                if !pending.is_empty() {
                    tracing::warn!(
                        gid = self.gid.as_ref().map(tracing::field::display),
                        ?pending,
                        "the unit is committed, recovery must bring up some binds"
                    );
                }
                Ok(Committed {
                    unit: self.orders.unit,
                    gid: self.gid,
                    binds: self.profiles.iter().map(|profile| profile.key).collect(),
                    pending,
                    hook_failures: Vec::new(),
                    joined: false,
                })
            }
            Conclusion::RolledBack { because, pending } => {
                let pending = keys(pending);
                let bind = self.profiles[because].key;
                Err(CommitError::rolled_back(bind, pending, self.fault(because)))
            }
            Conclusion::NotAtomic { first, second } => Err(CommitError::NotAtomic {
                first: self.profiles[first].key,
                second: self.profiles[second].key,
                reason: self.profiles[second]
                    .cannot_prepare
                    .clone()
                    .unwrap_or_default(),
            }),
            Conclusion::Unknown { writer } => Err(CommitError::Unknown {
                bind: self.profiles[writer].key,
                source: self.fault(writer),
            }),
            Conclusion::InDoubt { holder } => {
                let source = self.fault(holder);
                match self.gid {
                    Some(gid) => Err(CommitError::InDoubt {
                        gid: Box::new(gid),
                        source,
                    }),
                    None => unreachable!("a decision is only sent when the gid is known"),
                }
            }
        }
    }

    fn fault(&mut self, index: usize) -> Fault {
        self.faults[index].take().unwrap_or(Fault::TimedOut)
    }
}

enum StepResult {
    Done,
    Asked(Reply),
    Identified(DatabaseId),
    Outcome(Outcome),
    Failed(Fault),
    Lost(Fault),
}

fn step<'a>(
    participant: &'a mut Box<dyn Participant>,
    key: &'static str,
    command: Command,
    gid: Option<&'a Gid>,
    decision: Option<&'a Decision>,
) -> BoxFuture<'a, StepResult> {
    async move {
        match (command, gid, decision) {
            (Command::Ask, ..) => match participant.ask().await {
                Ok(asked) => StepResult::Asked(Reply::Asked {
                    wrote: asked.wrote,
                    serializable: asked.serializable,
                }),
                Err(fault) => StepResult::Failed(fault),
            },
            (Command::Identify, ..) => match participant.identify().await {
                Ok(id) => StepResult::Identified(id),
                Err(fault) => StepResult::Failed(fault),
            },
            (Command::EndReader | Command::CommitAlone, ..) => match participant.commit().await {
                Ok(()) => StepResult::Done,
                Err(Aloneness::Refused(fault)) => StepResult::Failed(fault),
                Err(Aloneness::Lost(fault)) => StepResult::Lost(fault),
            },
            (Command::RollBack, ..) => {
                participant.roll_back().await;
                StepResult::Done
            }
            (Command::Prepare, Some(gid), _) => done(participant.prepare(&gid.branch(key)).await),
            (Command::Decide, _, Some(decision)) => done(participant.decide(decision).await),
            (Command::Apply, Some(gid), _) => {
                done(participant.finish(&gid.branch(key), Outcome::Commit).await)
            }
            (Command::Undo, Some(gid), _) => {
                done(participant.finish(&gid.branch(key), Outcome::Abort).await)
            }
            (Command::Resolve, Some(gid), _) => match participant.resolve(gid).await {
                Ok(outcome) => StepResult::Outcome(outcome),
                Err(fault) => StepResult::Failed(fault),
            },
            (
                Command::Prepare
                | Command::Decide
                | Command::Apply
                | Command::Undo
                | Command::Resolve,
                ..,
            ) => {
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
