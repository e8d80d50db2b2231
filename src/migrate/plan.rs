//! Which migrations are run or reverted, and in which order. Pure: decided before the first one is touched.

use std::collections::{HashMap, HashSet};

use crate::migrate::known::{Known, MigrationId};
use crate::migrate::order::Sets;
use crate::migrate::problem::{MigrationProblem, MigrationStep};
use crate::migrate::state::{MigrationState, OnDrift};

/// How much is reverted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Revert {
    Last,
    All,
}

/// Where the binds stand: those that are asked for, and those that they need, or that need them.
pub(super) type States = HashMap<&'static str, MigrationState>;

/// All that is pending of the binds that were asked for, each bind after those that it needs.
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

/// The last migration of each bind, or all of them, each bind before those that it needs.
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
            // Others may be there because of it, and units in doubt.
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

/// Whether everything is as the program has it.
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

/// The migration that a step is about.
pub(super) fn known<'a>(sets: &'a Sets, step: &MigrationStep) -> &'a Known {
    sets.sets
        .iter()
        .filter(|set| set.key() == step.bind)
        .flat_map(|set| set.known())
        .find(|known| known.id == step.migration)
        .expect("a plan is made of what the sets have")
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

/// Whether a bind of the same database brings it, or takes it away, already.
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
