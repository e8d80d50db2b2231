//! The migrations to run or revert, in their order. Pure: planned before the first step.

use std::collections::{HashMap, HashSet};

use crate::migrate::known::{Known, MigrationId};
use crate::migrate::order::Sets;
use crate::migrate::problem::{MigrationProblem, MigrationStep};
use crate::migrate::state::{MigrationState, OnDrift};

/// The extent of a revert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revert {
    Last,
    All,
}

/// The states of the selected binds, and of those that they need or that need them.
pub(super) type States = HashMap<&'static str, MigrationState>;

/// Plans all pending migrations of the selected binds, each bind after those that it needs.
pub(super) fn run(
    sets: &Sets,
    selected: &[&'static str],
    states: &States,
    on_drift: OnDrift,
) -> Result<Vec<MigrationStep>, MigrationProblem> {
    refuse_wrong_databases(sets, selected, states)?;
    for &bind in selected {
        states[bind].refuse_drift(bind, on_drift)?;
    }
    let mut applied = applied(states);
    let mut steps = Vec::new();
    for &bind in selected {
        let pending = &states[bind].pending;
        if !pending.is_empty() {
            needs(sets, bind, &applied)?;
        }
        for migration in pending {
            if is_planned(sets, bind, migration, &steps) {
                continue;
            }
            applied
                .entry(bind)
                .or_default()
                .insert(migration.version.clone());
            steps.push(step(bind, migration));
        }
    }
    Ok(steps)
}

/// Plans the revert of the last migration of each bind, or of all, each bind before those that it needs.
pub(super) fn revert(
    sets: &Sets,
    selected: &[&'static str],
    states: &States,
    revert: Revert,
    on_drift: OnDrift,
) -> Result<Vec<MigrationStep>, MigrationProblem> {
    refuse_wrong_databases(sets, selected, states)?;
    let mut applied = applied(states);
    let mut steps = Vec::new();
    for &bind in selected.iter().rev() {
        let state = &states[bind];
        let own = state.applied.iter().rev();
        let reverted: Vec<&MigrationId> = match revert {
            Revert::Last => own.take(1).collect(),
            // Other binds may depend on it, and units in doubt.
            Revert::All => own.filter(|id| !id.is_shared()).collect(),
        };
        let Some(oldest) = reverted.last() else {
            continue;
        };
        let newer = state
            .unknown
            .iter()
            .any(|version| *version > oldest.version);
        if on_drift != OnDrift::Allow && newer {
            return Err(state.drift(bind));
        }
        for migration in reverted {
            if is_planned(sets, bind, migration, &steps) {
                continue;
            }
            let held = applied.entry(bind).or_default();
            held.remove(&migration.version);
            for need in sets.needs.iter().filter(|need| need.needs == bind) {
                let stands = applied.get(need.bind).is_some_and(|left| !left.is_empty());
                if need.version == migration.version && stands {
                    return Err(MigrationProblem::NeededBy {
                        bind,
                        migration: migration.clone(),
                        by: need.bind,
                    });
                }
            }
            steps.push(step(bind, migration));
        }
    }
    Ok(steps)
}

/// Makes sure that every selected bind is current.
pub(super) fn check(
    sets: &Sets,
    selected: &[&'static str],
    states: &States,
) -> Result<(), MigrationProblem> {
    refuse_wrong_databases(sets, selected, states)?;
    let applied = applied(states);
    for &bind in selected {
        let state = &states[bind];
        state.refuse_drift(bind, OnDrift::Refuse)?;
        if !state.pending.is_empty() {
            return Err(MigrationProblem::Pending {
                bind,
                pending: state.pending.clone(),
            });
        }
        needs(sets, bind, &applied)?;
    }
    Ok(())
}

/// Returns the migration of a step.
pub(super) fn known<'a>(sets: &'a Sets, step: &MigrationStep) -> &'a Known {
    sets.sets
        .iter()
        .filter(|set| set.key() == step.bind)
        .flat_map(|set| set.known())
        .find(|known| known.id == step.migration)
        .expect("a plan has only migrations of the sets")
}

fn refuse_wrong_databases(
    sets: &Sets,
    selected: &[&'static str],
    states: &States,
) -> Result<(), MigrationProblem> {
    for set in sets.sets.iter().filter(|set| selected.contains(&set.key())) {
        states[set.key()].refuse_wrong_database(set.key())?;
    }
    Ok(())
}

fn needs(
    sets: &Sets,
    bind: &'static str,
    applied: &HashMap<&'static str, HashSet<String>>,
) -> Result<(), MigrationProblem> {
    for need in sets.needs_of(bind) {
        let there = applied
            .get(need.needs)
            .is_some_and(|versions| versions.contains(&need.version));
        if !there {
            return Err(MigrationProblem::Needs {
                bind,
                needs: need.needs,
                version: need.version.clone(),
            });
        }
    }
    Ok(())
}

fn applied(states: &States) -> HashMap<&'static str, HashSet<String>> {
    states
        .iter()
        .map(|(bind, state)| {
            let versions = state
                .applied
                .iter()
                .filter(|id| !id.is_shared())
                .map(|id| id.version.clone())
                .collect();
            (*bind, versions)
        })
        .collect()
}

/// Returns whether the step of a bind in the same database already runs or reverts this migration.
fn is_planned(sets: &Sets, bind: &str, migration: &MigrationId, steps: &[MigrationStep]) -> bool {
    let place = |key: &str| {
        let set = sets.sets.iter().find(|set| set.key() == key);
        set.map(|set| set.place())
    };
    migration.is_shared()
        && steps
            .iter()
            .any(|step| step.migration == *migration && place(step.bind) == place(bind))
}

fn step(bind: &'static str, migration: &MigrationId) -> MigrationStep {
    MigrationStep {
        bind,
        migration: migration.clone(),
    }
}
