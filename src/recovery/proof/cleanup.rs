//! The deletion of old records: the real rule, in the steps of a process that deletes them.

use std::time::Duration;

use super::model::Model;
use super::mutant::Mutation;
use super::state::{Part, Row, State, Store, Task, Work};
use super::topology::{OURS, Process};
use crate::gid::DatabaseId;
use crate::recovery::retention::{ParticipantState, may_forget};

impl Model {
    /// Returns the deletions that an idle process may begin, and those that it may do at once.
    pub(super) fn clean_up(
        &self,
        process: &Process,
        state: &State,
    ) -> Vec<(&'static str, Task, State)> {
        let mut begun = Vec::new();
        if process.namespace != OURS {
            return begun;
        }
        for bind in process.binds.iter().copied() {
            let store = &state.stores[bind];
            let forgotten = match store.row {
                Some(Row::Commit) => true,
                // Records of units that were rolled back keep a late decision out, and so do those of operators.
                Some(Row::Abort | Row::Forced) => self.is(Mutation::AbortRowDeleted),
                None => false,
            };
            if store.reached() && self.is(Mutation::LooksBeforeRecord) {
                let parts = [Part::Before, Part::Within];
                let shows = |part| self.may_forget(process, state, bind, part);
                if state.holder == Some(bind) && parts.into_iter().all(shows) {
                    let task = Task::Deleting { holder: bind };
                    begun.push(("looks at participants", task, state.clone()));
                }
            } else if store.reached() && forgotten {
                let part = Part::Before;
                let task = Task::Forgetting { holder: bind, part };
                begun.push(("reads a record", task, state.clone()));
            }
            let orphan =
                store.placed && (store.work != Work::Prepared || self.is(Mutation::EarlyBranchRow));
            if store.reached() && orphan {
                let mut next = state.clone();
                next.stores[bind].placed = false;
                begun.push(("deletes the row of a branch", Task::Idle, next));
            }
        }
        begun
    }

    /// Returns the next step after the record was read: it depends on whether its participants have finished.
    pub(super) fn look_at_participants(
        &self,
        process: &Process,
        state: &State,
        holder: usize,
        part: Part,
    ) -> Task {
        if !self.may_forget(process, state, holder, part) {
            return Task::Idle;
        }
        let mut participants = self.topology.writers().filter(|writer| *writer != holder);
        match part {
            Part::Before if participants.all(|at| self.stays(state, at)) => {
                self.look_at_participants(process, state, holder, Part::Within)
            }
            Part::Before => {
                let part = Part::Within;
                Task::Forgetting { holder, part }
            }
            // A list from the database itself is true, whatever its address leads to afterwards.
            Part::Within if participants.any(|at| !state.stores[at].reached()) => {
                let part = Part::After;
                Task::Forgetting { holder, part }
            }
            Part::Within | Part::After => Task::Deleting { holder },
        }
    }

    /// Moves the horizon for a record, or deletes the record if the horizon has moved.
    pub(super) fn forget(&self, store: &mut Store) {
        let deletes = store.row == Some(Row::Commit) || self.is(Mutation::AbortRowDeleted);
        match store.horizon {
            _ if !store.reached() => {}
            false if !self.is(Mutation::HorizonAfterDeletion) => store.horizon = true,
            _ if deletes => store.row = None,
            _ => {}
        }
    }

    /// Applies the real rule to the lists that were read up to this part of the question.
    fn may_forget(&self, process: &Process, state: &State, holder: usize, part: Part) -> bool {
        let participants: Vec<(String, DatabaseId)> = self
            .topology
            .writers()
            .filter(|writer| *writer != holder)
            .map(|writer| {
                (
                    self.topology.databases[writer].key.to_owned(),
                    self.topology.id(writer),
                )
            })
            .collect();
        may_forget(
            &participants,
            Duration::ZERO,
            Duration::ZERO,
            |key, id| match self.bind(process, key) {
                Some(bind) => self.look(bind, &state.stores[bind], id, part),
                None => self.mistaken(ParticipantState::Unreached),
            },
        )
    }

    fn look(&self, bind: usize, store: &Store, id: &DatabaseId, part: Part) -> ParticipantState {
        let is_same = match part {
            Part::Before => self.is_same(store, Mutation::LookNotComparedBefore),
            Part::Within => true,
            Part::After => self.is_same(store, Mutation::LookNotComparedAfter),
        };
        let lists = store.reached() && store.work == Work::Prepared;
        self.mistaken(if !store.up {
            ParticipantState::Unreached
        } else if !is_same || self.topology.id(bind) != *id {
            ParticipantState::Replaced
        } else if part == Part::Within && lists {
            ParticipantState::Listed
        } else {
            ParticipantState::Gone
        })
    }

    fn mistaken(&self, seen: ParticipantState) -> ParticipantState {
        match (self.mutation, seen) {
            (Some(Mutation::EarlyDecisionRow), ParticipantState::Listed)
            | (Some(Mutation::UnreachedIsGone), ParticipantState::Unreached)
            | (Some(Mutation::ReplacedIsGone), ParticipantState::Replaced) => {
                ParticipantState::Gone
            }
            _ => seen,
        }
    }
}
