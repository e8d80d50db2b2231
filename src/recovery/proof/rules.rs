//! The rules that hold in every state of every run.

use super::model::Model;
use super::state::{CommitReport, Coordinator, Row, State, Work};
use crate::commit::Outcome;

impl Model {
    /// Returns the rule that is broken, if one is.
    pub(super) fn broken(&self, state: &State) -> Option<&'static str> {
        let kept = |index: usize| state.stores[index].work == Work::Committed;
        // A transaction that was aborted or ended keeps nothing, whatever steps still arrive.
        let lost =
            |index: usize| matches!(state.stores[index].work, Work::RolledBack | Work::Ended);
        let any_kept = self.topology.writers().any(kept);
        let any_lost = self.topology.writers().any(lost);
        // The work of a holder whose place an operator has taken does not count.
        let given_up = |index: &usize| {
            let store = &state.stores[*index];
            store.lost || store.row == Some(Row::Forced)
        };
        let is_lost = self
            .topology
            .writers()
            .any(|index| state.stores[index].lost);
        let others = || {
            let writers = self.topology.writers().filter(|index| !given_up(index));
            // A unit without a decision may be forced to commit: its prepared work is kept.
            writers.filter(|index| !is_lost || state.stores[*index].was_prepared)
        };
        if others().any(kept) && others().any(lost) {
            return Some("all or nothing");
        }
        // If the holder is lost, the operator decides how the unit ended.
        if is_lost {
            return state.offence;
        }
        let hidden = |pending: &[usize]| {
            let mut databases = 0..state.stores.len();
            databases.any(|at| state.stores[at].work == Work::Prepared && !pending.contains(&at))
        };
        let kept_apart = state.stores.iter().any(|store| store.kept_apart);
        let reported = match &state.coordinator {
            Coordinator::Done(reported) => Some(reported),
            _ => None,
        };
        let rules = [
            (state.offence.is_none(), state.offence.unwrap_or_default()),
            (
                !any_kept || self.readers_stand(state),
                "the reads of a committed unit stand",
            ),
            (
                !(state.said == Some(Outcome::Committed) && any_lost),
                "an outcome reported as committed is committed",
            ),
            (
                !(state.said == Some(Outcome::RolledBack) && any_kept),
                "an outcome reported as rolled back is rolled back",
            ),
            match reported {
                None => (true, ""),
                Some(CommitReport::Committed { pending }) => (
                    !any_lost && !hidden(pending) && self.decided(state),
                    "`Committed` is durable, and names the binds that are behind",
                ),
                Some(CommitReport::RolledBack { pending }) => (
                    !any_kept && !kept_apart && !hidden(pending),
                    "`RolledBack` is for good and everywhere, and names the binds that are behind",
                ),
                Some(CommitReport::Ended { pending }) => (
                    !any_kept && kept_apart && !hidden(pending),
                    "`TransactionEnded` is where something else has ended it, and names the binds that are behind",
                ),
                Some(CommitReport::Unknown) => (
                    self.topology.writers().count() == 1,
                    "`Unknown` is only a lone writer",
                ),
                Some(CommitReport::InDoubt) => (
                    state.holder.is_some(),
                    "`InDoubt` is only a unit with a holder",
                ),
            },
        ];
        rules
            .iter()
            .find(|(holds, _)| !holds)
            .map(|(_, rule)| *rule)
    }

    /// Returns whether nothing is open or in doubt, except branches that must be left alone.
    pub(super) fn settled(&self, state: &State) -> bool {
        // An undecided unit older than the holder's records is left to an operator.
        let forgotten = state.holder.is_some_and(|holder| {
            let store = &state.stores[holder];
            let undecided = store.work == Work::RolledBack && store.row.is_none();
            let forced = store.row == Some(Row::Forced);
            // So is a unit that an operator has begun to force.
            store.lost || store.reached() && (forced || undecided && store.horizon)
        });
        !matches!(state.coordinator, Coordinator::Running(_))
            && state.stores.iter().all(|store| match store.work {
                Work::Committed | Work::RolledBack => true,
                Work::Prepared => forgotten,
                _ => false,
            })
    }

    /// Returns whether the local commit that decides was made: that of the holder, if there is one.
    fn decided(&self, state: &State) -> bool {
        let committed = |index: usize| state.stores[index].work == Work::Committed;
        match state.holder {
            Some(holder) => committed(holder),
            None => self.topology.writers().all(committed),
        }
    }

    fn readers_stand(&self, state: &State) -> bool {
        self.topology
            .databases
            .iter()
            .zip(&state.stores)
            .all(|(database, store)| {
                !database.serializable || database.wrote || store.work == Work::Committed
            })
    }
}
