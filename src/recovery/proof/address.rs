//! Where addresses lead, and what a question makes of that.

use super::model::Model;
use super::mutant::Mutation;
use super::state::{Address, Coordinator, ForceStep, Part, State, Step, Store, Task};
use super::topology::Kind;

impl Model {
    /// Whether the address of a database may come to lead to another one.
    pub(super) fn may_lead_elsewhere(&self, state: &State, index: usize) -> bool {
        let is_file = self.topology.databases[index].kind == Kind::Sqlite;
        let mut processes = self.topology.processes.iter();
        // An operator is explored where only the holder goes, and addresses change after that.
        let is_early = processes.any(|process| process.operator.is_some())
            && state.holder.is_none_or(|holder| !state.stores[holder].lost);
        state.faults > 0 && !is_file && !is_early
    }

    /// The address leads to the database, and goes on doing so: a question about it is one step.
    pub(super) fn stays(&self, state: &State, index: usize) -> bool {
        state.stores[index].address == Address::Itself && !self.may_lead_elsewhere(state, index)
    }

    /// Whether a question takes the database for the one that it is about. `guard` leaves the comparison out.
    pub(super) fn is_same(&self, store: &Store, guard: Mutation) -> bool {
        match store.address {
            Address::Itself => true,
            Address::Other => self.is(guard),
            Address::Older => self.is(guard) || self.is(Mutation::LineageIgnored),
        }
    }

    /// Whether a question is under way that has begun to ask a database. An address changes at most once while one is:
    /// what leads elsewhere between two comparisons, and back, is seen by neither.
    pub(super) fn is_asked(&self, state: &State, index: usize) -> bool {
        let by_coordinator = match &state.coordinator {
            Coordinator::Running(running) => running.steps.iter().any(|(at, _, step)| {
                *at == index && matches!(step, Step::Listing | Step::Finishing | Step::Comparing)
            }),
            _ => false,
        };
        by_coordinator
            || state.tasks.iter().any(|task| match task {
                Task::Finishing { on, part, .. } => *on == index && *part != Part::Before,
                Task::Forgetting { holder, part } => *holder != index && *part != Part::Before,
                Task::Forcing(force) => match force.step {
                    ForceStep::Record(at, part) => {
                        part != Part::Before && self.parts(*force).get(at) == Some(&index)
                    }
                    _ => false,
                },
                _ => false,
            })
    }
}
