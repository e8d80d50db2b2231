//! The steps before the decision: ask for the writers, choose the holder, prepare.

use crate::commit::protocol::end::committed;
use crate::commit::protocol::state::{Phase, Protocol, WithoutCommit};
use crate::commit::protocol::words::{Next, Step};

impl Protocol {
    pub(super) fn start(&mut self) -> Next {
        let writers = self.writers().count();
        // Whether a lone participant wrote matters only for its record. With two writers, readers are asked beside the
        // prepares. Those that cannot prepare are asked now, because they would have to be the holder.
        if self.members.len() > 1
            || self
                .members
                .iter()
                .any(|state| state.member.needs_decision_row)
        {
            let askable = self
                .select(|state| {
                    state.member.askable
                        && !state.member.writer
                        && (writers < 2 || !state.member.can_prepare)
                })
                .collect();
            self.phase = Phase::Asking;
            if let Some(next) = self.run(Step::Ask, askable) {
                return next;
            }
        }
        self.plan()
    }

    pub(super) fn plan(&mut self) -> Next {
        let writers: Vec<usize> = self.writers().collect();
        match writers.as_slice() {
            // A lone participant that was not asked may have written, so its lost reply leaves the outcome unknown.
            [] if self.members.len() == 1 && self.members[0].member.askable => self.commit_alone(0),
            [] => {
                self.phase = Phase::EndingReaders;
                let all = self.open();
                self.run(Step::End, all)
                    .unwrap_or_else(|| committed(Vec::new()))
            }
            [writer] if !self.members[*writer].member.needs_decision_row => {
                let writer = *writer;
                let serializable = self.serializable_readers();
                self.phase = Phase::EndingSerializable { writer };
                self.run(Step::End, serializable)
                    .unwrap_or_else(|| self.commit_alone(writer))
            }
            writers => match self.choose_holder(writers) {
                Err((first, second)) => {
                    self.end_without_commit(WithoutCommit::NotAtomic { first, second })
                }
                Ok(holder) => self.identify(holder),
            },
        }
    }

    /// Chooses the only writer that cannot prepare, otherwise the one with the highest rank, otherwise the first.
    /// Returns two writers that cannot prepare as `Err`.
    pub(super) fn choose_holder(&self, writers: &[usize]) -> Result<usize, (usize, usize)> {
        let mut unable = writers
            .iter()
            .copied()
            .filter(|index| !self.members[*index].member.can_prepare);
        match (unable.next(), unable.next()) {
            (Some(first), Some(second)) => Err((first, second)),
            (Some(only), None) => Ok(only),
            (None, _) => Ok(writers
                .iter()
                .copied()
                .rev()
                .max_by_key(|index| self.members[*index].member.holder_rank)
                .unwrap_or_default()),
        }
    }

    pub(super) fn identify(&mut self, holder: usize) -> Next {
        self.phase = Phase::Identifying { holder };
        let unknown: Vec<usize> = self
            .select(|state| state.member.writer && !state.member.identified)
            .collect();
        self.run(Step::Identify, unknown)
            .unwrap_or_else(|| self.prepare(holder))
    }

    /// Sends one round: prepares the writers, asks the possible writers, ends the serializable readers.
    pub(super) fn prepare(&mut self, holder: usize) -> Next {
        self.phase = Phase::Preparing { holder };
        let mut round: Vec<(usize, Step)> = Vec::new();
        for (index, state) in self.members.iter().enumerate() {
            if index == holder || state.ended {
                continue;
            }
            let step = if state.member.writer {
                (!state.maybe_prepared).then_some(Step::Prepare)
            } else if state.member.askable {
                Some(Step::Ask)
            } else {
                state.serializable.then_some(Step::End)
            };
            round.extend(step.map(|step| (index, step)));
        }
        if round.is_empty() {
            self.phase = Phase::Deciding { holder };
            return Next::Run(vec![(holder, Step::Decide)]);
        }
        Next::Run(round)
    }

    pub(super) fn commit_alone(&mut self, writer: usize) -> Next {
        self.phase = Phase::Alone { writer };
        Next::Run(vec![(writer, Step::Commit)])
    }

    fn serializable_readers(&self) -> Vec<usize> {
        self.select(|state| state.serializable && !state.member.writer && !state.ended)
            .collect()
    }
}
