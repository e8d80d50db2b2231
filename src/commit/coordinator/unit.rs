//! A unit while it commits: its participants, and the facts that their replies show.

use futures_util::future::{FutureExt as _, join_all};
use tracing::{Instrument as _, Span};

use crate::commit::Fault;
use crate::commit::commit_error::CommitError;
#[cfg(feature = "testing")]
use crate::commit::coordinator::injected;
#[cfg(not(feature = "testing"))]
use crate::commit::coordinator::step::carry_out;
use crate::commit::coordinator::step::{Prepared, StepReply};
use crate::commit::outcome::Committed;
use crate::commit::parameters::CommitParameters;
use crate::commit::participant::{Decision, Participant, Profile, Undone, are_distinct, ended};
use crate::commit::protocol::{Conclusion, Member, Protocol, Refused, Reply, Step};
use crate::gid::{DatabaseId, Gid};
use crate::trace;

/// Returns the key of another participant that has this id and is certainly another database.
fn copied(
    profiles: &[Profile],
    databases: &[Option<DatabaseId>],
    index: usize,
    id: DatabaseId,
) -> Option<&'static str> {
    let other = (0..profiles.len()).find(|other| {
        *other != index
            && databases[*other] == Some(id)
            && are_distinct(&profiles[*other].fingerprint, &profiles[index].fingerprint)
    })?;
    Some(profiles[other].key)
}

/// The reason why a commit would refuse a unit.
pub(crate) enum Refusal {
    /// A step on the bind would fail.
    Fault(&'static str, Fault),
    /// Two writers cannot prepare.
    NotAtomic(CommitError),
}

/// A unit while it commits.
pub(super) struct Unit {
    parameters: CommitParameters,
    pub(super) participants: Vec<Box<dyn Participant>>,
    profiles: Vec<Profile>,
    databases: Vec<Option<DatabaseId>>,
    faults: Vec<Option<Fault>>,
    gid: Option<Gid>,
    /// The branch that each participant was to prepare.
    branches: Vec<Option<Prepared>>,
    #[cfg(feature = "testing")]
    pub(super) injection: injected::Injection,
}

impl Unit {
    pub(super) fn begin(
        parameters: CommitParameters,
        participants: Vec<Box<dyn Participant>>,
    ) -> (Protocol, Self) {
        let profiles: Vec<Profile> = participants.iter().map(|p| p.profile()).collect();
        let mut databases: Vec<_> = profiles.iter().map(|profile| profile.database).collect();
        // Each id was read in an earlier unit. If two participants have one id, it is read again for one of them, which
        // is then refused.
        for index in 0..profiles.len() {
            if let Some(id) = databases[index]
                && copied(&profiles, &databases, index, id).is_some()
            {
                databases[index] = None;
            }
        }
        let alone = profiles.len() == 1;
        let members = profiles.iter().zip(&databases);
        let protocol = Protocol::new(members.map(|(profile, database)| Member {
            // A function in a `SELECT` may have written. For a lone participant, this assumption costs nothing, and a
            // lost reply is not taken for a roll-back. If its commit would be recorded, it is asked first: a unit that
            // only read leaves no record.
            writer: profile.writer
                || (alone
                    && !profile.read_only
                    && !(profile.needs_decision_row && profile.askable)),
            askable: profile.askable,
            identified: database.is_some(),
            can_prepare: profile.cannot_prepare.is_none(),
            holder_rank: profile.holder_rank,
            needs_decision_row: profile.needs_decision_row,
        }));
        let unit = Self {
            databases,
            faults: participants.iter().map(|_| None).collect(),
            #[cfg(feature = "testing")]
            injection: injected::Injection::new(parameters.faults.clone()),
            parameters,
            profiles,
            branches: participants.iter().map(|_| None).collect(),
            participants,
            gid: None,
        };
        (protocol, unit)
    }

    /// Returns the record that would commit the unit, as soon as its holder is chosen and identified.
    pub(super) fn decision(&mut self, protocol: &Protocol) -> Option<Decision> {
        if let Some(holder) = protocol.holder()
            && let Some(holder_id) = self.databases[holder]
        {
            let gid = Gid {
                namespace: self.parameters.namespace.as_ref().into(),
                unit: self.parameters.unit,
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

    pub(super) async fn run(
        &mut self,
        round: &[(usize, Step)],
        protocol: &Protocol,
        decision: Option<&Decision>,
    ) -> Vec<(usize, Step, Reply)> {
        let holder = protocol.holder();
        self.name_branches(round, protocol.most_branches());
        let gid = self.gid.as_ref();
        let branches = &self.branches;
        let steps = self
            .participants
            .iter_mut()
            .enumerate()
            .filter_map(|(index, participant)| {
                let (_, step) = round.iter().find(|(member, _)| *member == index)?;
                let key = self.profiles[index].key;
                let span = trace::commit_step(key, step, self.parameters.unit, gid);
                #[cfg(not(feature = "testing"))]
                let result = carry_out(participant, *step, branches[index].as_ref(), decision);
                #[cfg(feature = "testing")]
                let result = injected::carry_out_with_faults(
                    &self.injection,
                    participant,
                    key,
                    *step,
                    branches[index].as_ref(),
                    decision,
                );
                Some(
                    result
                        .instrument(span.clone())
                        .map(move |result| (index, *step, span, result)),
                )
            });
        let results = join_all(steps).await;
        results
            .into_iter()
            .map(|(index, step, span, result)| {
                let reply = match result {
                    StepReply::Done => Reply::Done,
                    StepReply::Asked(reply) => reply,
                    StepReply::Outcome(outcome) => Reply::Outcome(outcome),
                    // After a crash of this process, the outcome of the unit could not be determined.
                    StepReply::Identified(found)
                        if found.has_forgotten && holder == Some(index) =>
                    {
                        let fault = Fault::OutlivedRecords;
                        self.failed(&span, index, step, fault, Reply::Failed)
                    }
                    StepReply::Identified(found) => {
                        let id = found.database;
                        match copied(&self.profiles, &self.databases, index, id) {
                            Some(with) => {
                                let fault = Fault::SameIdentity { with };
                                self.failed(&span, index, step, fault, Reply::Failed)
                            }
                            None => {
                                self.databases[index] = Some(id);
                                Reply::Done
                            }
                        }
                    }
                    StepReply::Failed(fault) => {
                        self.failed(&span, index, step, fault, Reply::Failed)
                    }
                    StepReply::Unknown(fault) => {
                        self.failed(&span, index, step, fault, Reply::Unknown)
                    }
                };
                (index, step, reply)
            })
            .collect()
    }

    /// Names the branches to prepare in this round. Each name contains the largest possible number of branches, so that
    /// recovery can determine whether it sees all of them.
    fn name_branches(&mut self, round: &[(usize, Step)], parts: u16) {
        let Some(gid) = &self.gid else {
            return;
        };
        for (index, _) in round.iter().filter(|(_, c)| *c == Step::Prepare) {
            self.branches[*index] = self.databases[*index].map(|database| Prepared {
                branch: gid.branch(self.profiles[*index].key, parts),
                database,
            });
        }
    }

    /// Keeps the first fault of each participant, from which later ones follow, or the fault of its resolve.
    fn failed(
        &mut self,
        span: &Span,
        index: usize,
        step: Step,
        fault: Fault,
        reply: Reply,
    ) -> Reply {
        span.record("error.type", fault.word());
        span.record("otel.status_code", "ERROR");
        tracing::debug!(
            target: "diesel_binds::commit",
            parent: span,
            bind = self.profiles[index].key,
            %step,
            error = &fault as &dyn std::error::Error,
            "a step of a commit failed"
        );
        let kept = &mut self.faults[index];
        if kept.is_none() || step == Step::Resolve {
            *kept = Some(fault);
        }
        reply
    }

    /// Returns the result for the caller. Only each bind itself can confirm that nothing is kept.
    pub(super) fn conclude(mut self, conclusion: Conclusion) -> Result<Committed, CommitError> {
        let undone: Vec<(&'static str, Undone)> = match conclusion {
            Conclusion::RolledBack { .. } | Conclusion::NotAtomic { .. } => {
                let keys = self.profiles.iter().map(|profile| profile.key);
                keys.zip(self.participants.iter().map(|p| p.undone()))
                    .collect()
            }
            _ => Vec::new(),
        };
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
                        "the unit is committed, and recovery commits it on the pending binds"
                    );
                }
                Ok(Committed {
                    unit: self.parameters.unit,
                    gid: self.gid,
                    binds: self.profiles.iter().map(|profile| profile.key).collect(),
                    pending,
                    hook_failures: Vec::new(),
                })
            }
            Conclusion::RolledBack { because, pending } => {
                let pending = keys(pending);
                let bind = self.profiles[because].key;
                let (ended, fault) = (ended(&undone), self.fault(because));
                Err(CommitError::rolled_back(bind, ended, pending, fault))
            }
            Conclusion::NotAtomic { first, second } => {
                Err(CommitError::unconfirmed(&undone)
                    .unwrap_or_else(|| self.not_atomic(first, second)))
            }
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

    /// Returns the reason why the commit refuses the unit.
    pub(super) fn refusal(&mut self, refused: Refused) -> Refusal {
        match refused {
            Refused::Because(index) => Refusal::Fault(self.profiles[index].key, self.fault(index)),
            Refused::NotAtomic { first, second } => {
                Refusal::NotAtomic(self.not_atomic(first, second))
            }
        }
    }

    fn not_atomic(&self, first: usize, second: usize) -> CommitError {
        CommitError::NotAtomic {
            first: self.profiles[first].key,
            second: self.profiles[second].key,
            reason: self.profiles[second]
                .cannot_prepare
                .clone()
                .unwrap_or_default(),
        }
    }

    /// Leaves the state that a dead process leaves: nothing rolled back, nothing finished, all connections closed.
    #[cfg(feature = "testing")]
    pub(super) async fn die(mut self) -> CommitError {
        for participant in &mut self.participants {
            participant.cut().await;
        }
        if let Some(plan) = &self.injection.plan {
            plan.note_crash();
        }
        // Only a task that was stopped gives an error of this type.
        let never = tokio::spawn(std::future::pending::<()>());
        never.abort();
        match never.await {
            Err(source) => CommitError::Interrupted {
                unit: self.parameters.unit,
                source,
            },
            Ok(()) => unreachable!("it waits for ever"),
        }
    }

    fn fault(&mut self, index: usize) -> Fault {
        self.faults[index].take().unwrap_or(Fault::TimedOut)
    }
}
