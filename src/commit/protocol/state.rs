//! The state of a commit and of its members.

use crate::commit::protocol::words::{Conclusion, Member, Next, Refused, Reply, Step};

/// The phase of the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
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
    EndingWithoutCommit { conclusion: Conclusion },
}

/// The state of a member.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct MemberState {
    pub(super) member: Member,
    pub(super) serializable: bool,
    /// A prepare was sent.
    pub(super) maybe_prepared: bool,
    /// The prepare was confirmed.
    pub(super) prepared: bool,
    /// The transaction of the member is no longer open.
    pub(super) ended: bool,
}

/// The commit of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Protocol {
    pub(super) members: Vec<MemberState>,
    pub(super) phase: Phase,
}

impl Protocol {
    pub(crate) fn new(members: impl IntoIterator<Item = Member>) -> Self {
        let members = members
            .into_iter()
            .map(|member| MemberState {
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

    /// Returns the holder of the decision, once it is chosen.
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

    /// Returns why the unit rolls back, if it does.
    pub(crate) fn refused(&self) -> Option<Refused> {
        match self.phase {
            Phase::RollingBackHolder { because } | Phase::RollingBack { because } => {
                Some(Refused::Because(because))
            }
            Phase::EndingWithoutCommit {
                conclusion: Conclusion::NotAtomic { first, second },
            } => Some(Refused::NotAtomic { first, second }),
            _ => None,
        }
    }

    /// Returns the members known to have written.
    pub(crate) fn writers(&self) -> impl Iterator<Item = usize> + '_ {
        self.select(|state| state.member.writer)
    }

    /// Returns the largest possible number of branches of the unit: all writers and possible writers but the holder.
    pub(crate) fn most_branches(&self) -> u16 {
        let writers = self.select(|state| state.member.writer || state.member.askable);
        u16::try_from(writers.count().saturating_sub(1)).unwrap_or(u16::MAX)
    }

    pub(super) fn note(&mut self, replies: &[(usize, Step, Reply)]) {
        for (index, step, reply) in replies {
            let state = &mut self.members[*index];
            match (step, reply) {
                (
                    Step::Ask,
                    Reply::Asked {
                        wrote,
                        serializable,
                    },
                ) => {
                    state.member.writer |= wrote;
                    state.member.askable = false;
                    state.serializable = *serializable;
                }
                (Step::Identify, Reply::Done) => state.member.identified = true,
                (Step::Prepare, reply) => {
                    state.maybe_prepared = true;
                    state.prepared = *reply == Reply::Done;
                }
                (
                    Step::End
                    | Step::Commit
                    | Step::Decide
                    | Step::Apply
                    | Step::Undo,
                    Reply::Done,
                )
                // A lone commit that was refused has rolled back.
                | (Step::Commit, Reply::Failed)
                | (Step::RollBack, _) => state.ended = true,
                _ => {}
            }
        }
    }

    /// Returns the indices of the members that `keep` returns `true` for.
    pub(super) fn select(
        &self,
        keep: impl Fn(&MemberState) -> bool,
    ) -> impl Iterator<Item = usize> {
        self.members
            .iter()
            .enumerate()
            .filter(move |(_, state)| keep(state))
            .map(|(index, _)| index)
    }

    /// Returns a step for each member whose transaction is open.
    pub(super) fn each_open(&self, step: impl Fn(&MemberState) -> Step) -> Vec<(usize, Step)> {
        self.select(|state| !state.ended)
            .map(|index| (index, step(&self.members[index])))
            .collect()
    }

    /// Returns a round of one step for the members that `keep` returns `true` for. `None` if there are none.
    pub(super) fn round_of(&self, step: Step, keep: impl Fn(&MemberState) -> bool) -> Option<Next> {
        round(self.select(keep).map(|index| (index, step)).collect())
    }
}

/// Returns a round of these steps. `None` if there are none.
pub(super) fn round(steps: Vec<(usize, Step)>) -> Option<Next> {
    (!steps.is_empty()).then_some(Next::Run(steps))
}
