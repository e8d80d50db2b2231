//! The operator, which finishes a unit in the place of a lost or forgetful holder: the steps of force.

use super::database::Finished;
use super::model::Model;
use super::mutant::Mutation;
use super::state::{Address, Coordinator, Force, ForceStep, Part, Row, State, Task, Work};
use super::topology::{Kind, Process};
use crate::commit::Outcome;

impl Model {
    /// Returns the force that the operator of an idle process begins, if the unit is in doubt and its holder cannot
    /// decide.
    pub(super) fn operator(&self, process: &Process, state: &State) -> Option<Force> {
        let outcome = process.operator?;
        let holder = state.holder?;
        let store = &state.stores[holder];
        // Without the holder, no database shows that the coordinator still runs: the operator must make sure that it
        // does not.
        let is_dead = state.coordinator == Coordinator::Dead
            && state.stores.iter().all(|store| store.wire.is_none());
        if !process.binds.contains(&holder) && !is_dead {
            return None;
        }
        let is_forgotten = store.reached() && store.horizon && store.row.is_none();
        let is_forced = store.row == Some(Row::Forced);
        (store.lost || is_forgotten || is_forced).then_some(Force {
            outcome,
            step: ForceStep::AskHolder,
            forgetful: false,
            listed: 0,
            was_forced: false,
        })
    }

    /// Returns the next step, or `None` if the step waits for a decision in flight.
    pub(super) fn force(&self, process: &Process, next: &mut State, force: Force) -> Option<Task> {
        let holder = next.holder.expect("it stands in the names of the branches");
        let go_on = |step| Task::Forcing(Force { step, ..force });
        Some(match force.step {
            ForceStep::AskHolder => {
                let store = &next.stores[holder];
                let knows = process.binds.contains(&holder) && !store.lost;
                let forgetful = match store.row {
                    _ if !knows => false,
                    Some(Row::Forced) => true,
                    None if store.horizon => true,
                    _ => return Some(Task::Idle),
                };
                if knows && !store.reached() {
                    return Some(Task::Idle);
                }
                // The coordinator may be rolling back its prepared branches.
                let commits = force.outcome == Outcome::Committed;
                if forgetful && commits && !self.is(Mutation::CommitForcedBesideHolder) {
                    return Some(Task::Idle);
                }
                Task::Forcing(Force {
                    forgetful,
                    step: ForceStep::Look(0),
                    ..force
                })
            }
            ForceStep::Look(at) => self.look_for_parts(process, next, holder, force, at),
            ForceStep::GiveOver => {
                let store = &mut next.stores[holder];
                match (store.work, store.row) {
                    _ if !store.reached() => Task::Idle,
                    (Work::Deciding, None) if !self.is(Mutation::ForceDoesNotWait) => return None,
                    (_, Some(Row::Commit | Row::Abort))
                        if !self.is(Mutation::ForceIgnoresDecision) =>
                    {
                        Task::Idle
                    }
                    (_, None) => {
                        store.row = Some(Row::Forced);
                        go_on(ForceStep::Record(0, Part::Before))
                    }
                    _ => go_on(ForceStep::Record(0, Part::Before)),
                }
            }
            ForceStep::Record(at, part) => self.record(next, force, at, part),
            ForceStep::Finish(at) => match self.parts(force).get(at) {
                None => Task::Idle,
                Some(part) => {
                    let part = *part;
                    let store = &mut next.stores[part];
                    if !store.reached() || store.work != Work::Prepared {
                        return Some(go_on(ForceStep::Finish(at + 1)));
                    }
                    match self.finish(part, store, force.outcome) {
                        Finished::Done | Finished::NotThere => go_on(ForceStep::Finish(at + 1)),
                        Finished::Killed => go_on(ForceStep::Finish(at)),
                        Finished::Wait => return None,
                    }
                }
            },
        })
    }

    /// Records the outcome on one part after the other.
    fn record(&self, next: &mut State, force: Force, at: usize, part: Part) -> Task {
        let go_on = |step| Task::Forcing(Force { step, ..force });
        let parts = self.parts(force);
        let Some(bind) = parts.get(at).copied() else {
            if parts.iter().any(|bind| next.stores[*bind].forced.is_none()) {
                next.offence =
                    Some("an operator records an outcome before the branches are finished");
            }
            return go_on(ForceStep::Finish(0));
        };
        let stays = self.stays(next, bind);
        let store = &mut next.stores[bind];
        let then = ForceStep::Record(at + 1, Part::Before);
        match part {
            _ if !store.up => Task::Idle,
            Part::Before if !self.is_same(store, Mutation::RecordNotComparedBefore) => Task::Idle,
            Part::Before if !stays => go_on(ForceStep::Record(at, Part::Within)),
            Part::Before | Part::Within if store.address == Address::Itself => {
                let recorded = *store.forced.get_or_insert(force.outcome);
                match recorded == force.outcome || self.is(Mutation::RecordIgnored) {
                    true => go_on(then),
                    false => Task::Idle,
                }
            }
            // Another database has no earlier record.
            Part::Before | Part::Within => go_on(ForceStep::Record(at, Part::After)),
            Part::After if self.is_same(store, Mutation::RecordNotComparedAfter) => go_on(then),
            Part::After => Task::Idle,
        }
    }

    fn look_for_parts(
        &self,
        process: &Process,
        state: &State,
        holder: usize,
        mut force: Force,
        at: usize,
    ) -> Task {
        let Some(bind) = process.binds.get(at) else {
            let parts = self.parts(force);
            let said = parts.iter().map(|part| state.stores[*part].parts).max();
            let all_seen = said.is_some_and(|said| usize::from(said) <= parts.len());
            let complete = all_seen || force.was_forced || self.is(Mutation::PartsNotCounted);
            let step = match force.forgetful && !self.is(Mutation::ForceLeavesNoRow) {
                true => ForceStep::GiveOver,
                false => ForceStep::Record(0, Part::Before),
            };
            return match complete && !parts.is_empty() {
                true => Task::Forcing(Force { step, ..force }),
                false => Task::Idle,
            };
        };
        if *bind != holder {
            let store = &state.stores[*bind];
            let contradicts = store.forced.is_some_and(|other| other != force.outcome);
            // Another database has nothing of the unit, which is no reason to stop.
            let is_itself = store.address == Address::Itself;
            if !store.up || is_itself && contradicts && !self.is(Mutation::RecordIgnored) {
                return Task::Idle;
            }
            force.was_forced |= is_itself && store.forced.is_some();
            let unplaced = self.topology.databases[*bind].kind == Kind::MariaDb && !store.placed;
            if is_itself && store.work == Work::Prepared && !unplaced {
                force.listed |= 1 << *bind;
            }
        }
        force.step = ForceStep::Look(at + 1);
        Task::Forcing(force)
    }

    /// Returns the databases whose branches were listed.
    pub(super) fn parts(&self, force: Force) -> Vec<usize> {
        let databases = 0..self.topology.databases.len();
        let mut parts: Vec<usize> = databases
            .filter(|index| force.listed & (1 << index) != 0)
            .collect();
        parts.sort_by_key(|part| self.topology.databases[*part].key);
        parts
    }
}
