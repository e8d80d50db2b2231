//! The targets of addresses, and the comparisons by which a question detects another database.

use super::model::Model;
use super::mutant::Mutation;
use super::state::{Address, Coordinator, ForceStep, Part, Progress, State, Store, Task};
use super::topology::Kind;

impl Model {
    /// Returns whether the address of a database may come to lead to another one.
    pub(super) fn may_lead_elsewhere(&self, state: &State, index: usize) -> bool {
        let is_file = self.topology.databases[index].kind == Kind::Sqlite;
        let mut processes = self.topology.processes.iter();
        // With an operator, addresses change only after the holder is lost.
        let is_early = processes.any(|process| process.operator.is_some())
            && state.holder.is_none_or(|holder| !state.stores[holder].lost);
        state.faults > 0 && !is_file && !is_early
    }

    /// Returns whether the address leads to the database and will not change: a question about it is then one step.
    pub(super) fn stays(&self, state: &State, index: usize) -> bool {
        state.stores[index].address == Address::Itself && !self.may_lead_elsewhere(state, index)
    }

    /// Returns whether a question takes the database for the expected one. `guard` is the mutation without the
    /// comparison.
    pub(super) fn is_same(&self, store: &Store, guard: Mutation) -> bool {
        match store.address {
            Address::Itself => true,
            Address::Other => self.is(guard),
            Address::Older => self.is(guard) || self.is(Mutation::LineageIgnored),
        }
    }

    /// Returns whether a question to the database has begun. During a question, an address changes at most once: no
    /// comparison could detect an address that changes between two of them and changes back.
    pub(super) fn is_asked(&self, state: &State, index: usize) -> bool {
        let by_coordinator = match &state.coordinator {
            Coordinator::Running(running) => running.steps.iter().any(|(at, _, progress)| {
                *at == index
                    && matches!(
                        progress,
                        Progress::Listing | Progress::Finishing | Progress::Comparing
                    )
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
