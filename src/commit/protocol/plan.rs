//! The steps before the decision: ask for the writers, choose the holder, prepare.

use crate::commit::protocol::end::committed;
use crate::commit::protocol::state::{Phase, Protocol, round};
use crate::commit::protocol::words::{Conclusion, Next, Step};

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
            self.phase = Phase::Asking;
            let asking = self.round_of(Step::Ask, |state| {
                state.member.askable
                    && !state.member.writer
                    && (writers < 2 || !state.member.can_prepare)
            });
            if let Some(next) = asking {
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
                self.round_of(Step::End, |state| !state.ended)
                    .unwrap_or_else(|| committed(Vec::new()))
            }
            [writer] if !self.members[*writer].member.needs_decision_row => {
                let writer = *writer;
                self.phase = Phase::EndingSerializable { writer };
                self.round_of(Step::End, |state| {
                    state.serializable && !state.member.writer && !state.ended
                })
                .unwrap_or_else(|| self.commit_alone(writer))
            }
            writers => match self.choose_holder(writers) {
                Err((first, second)) => {
                    self.end_without_commit(Conclusion::NotAtomic { first, second })
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
        self.round_of(Step::Identify, |state| {
            state.member.writer && !state.member.identified
        })
        .unwrap_or_else(|| self.prepare(holder))
    }

    /// Sends one round: prepares the writers, asks the possible writers, ends the serializable readers.
    pub(super) fn prepare(&mut self, holder: usize) -> Next {
        self.phase = Phase::Preparing { holder };
        let mut steps: Vec<(usize, Step)> = Vec::new();
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
            steps.extend(step.map(|step| (index, step)));
        }
        round(steps).unwrap_or_else(|| {
            self.phase = Phase::Deciding { holder };
            Next::Run(vec![(holder, Step::Decide)])
        })
    }

    pub(super) fn commit_alone(&mut self, writer: usize) -> Next {
        self.phase = Phase::Alone { writer };
        Next::Run(vec![(writer, Step::Commit)])
    }
}
