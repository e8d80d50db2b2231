//! Deleting what nobody will ask for: the real judgement, in the steps of a process that does so.

use std::time::Duration;

use super::model::Model;
use super::mutant::Mutation;
use super::state::{State, Store, Task, Work};
use super::topology::{OURS, Process};
use crate::commit::Outcome;
use crate::gid::DatabaseId;
use crate::recovery::retention::{Seen, may_forget};

impl Model {
    /// What an idle process may begin to delete, and what it may delete at once.
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
                Some(Outcome::Commit) => true,
                // Records that a unit was rolled back keep a late decision out.
                Some(Outcome::Abort) => self.is(Mutation::AbortRowDeleted),
                None => false,
            };
            if store.reached() && self.is(Mutation::LooksBeforeRecord) {
                if state.holder == Some(bind) && self.may_forget(process, state, bind) {
                    let task = Task::Deleting { holder: bind };
                    begun.push(("looks at participants", task, state.clone()));
                }
            } else if store.reached() && forgotten {
                let task = Task::Forgetting { holder: bind };
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

    /// The record was read; have its participants finished?
    pub(super) fn look_at_participants(
        &self,
        process: &Process,
        state: &State,
        holder: usize,
    ) -> Task {
        if self.may_forget(process, state, holder) {
            Task::Deleting { holder }
        } else {
            Task::Idle
        }
    }

    /// Moves the horizon for a record, or deletes it once that was done.
    pub(super) fn forget(&self, store: &mut Store) {
        let deletes = store.row == Some(Outcome::Commit) || self.is(Mutation::AbortRowDeleted);
        match store.horizon {
            _ if !store.reached() => {}
            false if !self.is(Mutation::HorizonAfterDeletion) => store.horizon = true,
            _ if deletes => store.row = None,
            _ => {}
        }
    }

    fn may_forget(&self, process: &Process, state: &State, holder: usize) -> bool {
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
                Some(bind) => self.look(bind, &state.stores[bind], id),
                None => self.mistaken(Seen::Unreached),
            },
        )
    }

    fn look(&self, bind: usize, store: &Store, id: &DatabaseId) -> Seen {
        self.mistaken(if !store.up {
            Seen::Unreached
        } else if store.stand_in || self.topology.id(bind) != *id {
            Seen::Replaced
        } else if store.work == Work::Prepared {
            Seen::Listed
        } else {
            Seen::Gone
        })
    }

    fn mistaken(&self, seen: Seen) -> Seen {
        match (self.mutation, seen) {
            (Some(Mutation::EarlyDecisionRow), Seen::Listed)
            | (Some(Mutation::UnreachedIsGone), Seen::Unreached)
            | (Some(Mutation::ReplacedIsGone), Seen::Replaced) => Seen::Gone,
            _ => seen,
        }
    }
}
