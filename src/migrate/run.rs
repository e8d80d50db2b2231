//! A run: lock, read, plan, and then one migration after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::migrate::any_set::AnySet;
use crate::migrate::database::{Database, Failure, NoHistory};
use crate::migrate::lock::{Locks, SameDatabase};
use crate::migrate::order::{Sets, common};
use crate::migrate::plan::{self, Revert, States};
use crate::migrate::problem::{
    Direction, Migrated, MigrationError, MigrationProblem, MigrationStep,
};
use crate::migrate::state::{MigrationState, OnDrift, Owner};

/// The kind of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Job {
    Run,
    Revert(Revert),
}

/// A run of migrations. Owns its data, because it continues when its future is dropped.
pub(super) struct Run {
    pub(super) sets: Arc<Sets>,
    /// The keys of the selected binds, in the order of the sets.
    pub(super) selected: Vec<&'static str>,
    pub(super) job: Job,
    pub(super) on_drift: OnDrift,
    pub(super) wait: Duration,
}

type Open = HashMap<&'static str, Box<dyn Database>>;

impl Run {
    pub(super) async fn carry_out(self) -> Result<Migrated, MigrationError> {
        let mut locks = Locks::new(self.wait);
        let result = self.locked(&mut locks).await;
        locks.release().await;
        result
    }

    async fn locked(&self, locks: &mut Locks) -> Result<Migrated, MigrationError> {
        let mut open = self.lock_all(locks).await?;
        let mut states = States::new();
        for set in self.involved() {
            let database = database(&mut open, set.key());
            states.insert(set.key(), state(set.as_ref(), &self.sets, database).await?);
        }
        let (sets, selected) = (&self.sets, self.selected.as_slice());
        let (steps, direction) = match self.job {
            Job::Run => (
                plan::run(sets, selected, &states, self.on_drift)?,
                Direction::Run,
            ),
            Job::Revert(revert) => (
                plan::revert(sets, selected, &states, revert, self.on_drift)?,
                Direction::Revert,
            ),
        };
        for &bind in selected {
            database(&mut open, bind)
                .adopt(&states[bind].unowned)
                .await
                .map_err(|error| no_history(bind, error))?;
        }
        self.carry_out_steps(steps, direction, open, locks).await
    }

    /// Opens and locks every involved database, in the same order in all processes.
    async fn lock_all(&self, locks: &mut Locks) -> Result<Open, MigrationProblem> {
        let mut sets = self.involved();
        sets.sort_by_key(|set| set.key());
        let mut open = Open::new();
        for set in sets {
            let bind = set.key();
            let mut database = open_database(set.as_ref()).await?;
            if let Some(SameDatabase { with }) = locks.take(set.as_ref(), &mut *database).await? {
                return Err(self.same_database(set.as_ref(), with));
            }
            open.insert(bind, database);
        }
        Ok(open)
    }

    fn same_database(&self, set: &dyn AnySet, with: &'static str) -> MigrationProblem {
        let bind = set.key();
        let other = self.sets.sets.iter().find(|other| other.key() == with);
        match other.and_then(|other| common(set, other.as_ref())) {
            Some(migration) => MigrationProblem::VersionCollision {
                bind,
                migration: migration.clone(),
                with: with.to_owned(),
            },
            None => MigrationProblem::SameDatabase { bind, with },
        }
    }

    async fn carry_out_steps(
        &self,
        steps: Vec<MigrationStep>,
        direction: Direction,
        mut open: Open,
        locks: &mut Locks,
    ) -> Result<Migrated, MigrationError> {
        for (position, step) in steps.iter().enumerate() {
            let result = self.one(step, direction, &mut open, locks).await;
            if let Err(problem) = result {
                let (done, left) = steps.split_at(position);
                return Err(MigrationError::incomplete(problem, done, left));
            }
        }
        Ok(Migrated { done: steps })
    }

    async fn one(
        &self,
        step: &MigrationStep,
        direction: Direction,
        open: &mut Open,
        locks: &mut Locks,
    ) -> Result<(), MigrationProblem> {
        locks.verify().await?;
        let bind = step.bind;
        let migration = plan::known(&self.sets, step);
        tracing::info!(bind, %migration.id, ?direction, "a migration begins");
        let set = self.sets.sets.iter().find(|set| set.key() == bind);
        let place = set.expect("a step is of one of the sets").place();
        let work = database(open, bind).apply(migration, direction);
        let (applied, waited_for) = locks.keep((bind, place), work).await;
        applied.map_err(
            |Failure {
                 source,
                 rolled_back,
             }| MigrationProblem::Failed {
                bind,
                migration: migration.id.clone(),
                rolled_back,
                waited_for,
                source,
            },
        )
    }

    /// Returns the sets of the selected binds, and of those that they need or that need them.
    fn involved(&self) -> Vec<Arc<dyn AnySet>> {
        involved(&self.sets, &self.selected)
    }
}

/// Returns the sets of `selected`, and of all that they need or that need them.
pub(super) fn involved(sets: &Sets, selected: &[&'static str]) -> Vec<Arc<dyn AnySet>> {
    sets.sets
        .iter()
        .filter(|set| {
            let key = set.key();
            selected.contains(&key)
                || sets.needs.iter().any(|need| {
                    (need.needs == key && selected.contains(&need.bind))
                        || (need.bind == key && selected.contains(&need.needs))
                })
        })
        .map(Arc::clone)
        .collect()
}

pub(super) async fn open_database(set: &dyn AnySet) -> Result<Box<dyn Database>, MigrationProblem> {
    set.open()
        .await
        .map_err(|source| MigrationProblem::Unreachable {
            bind: set.key(),
            source,
        })
}

pub(super) async fn state(
    set: &dyn AnySet,
    sets: &Sets,
    database: &mut dyn Database,
) -> Result<MigrationState, MigrationProblem> {
    let history = database
        .history()
        .await
        .map_err(|error| no_history(set.key(), error))?;
    let mates = sets.sets.iter().filter(|mate| mate.place() == set.place());
    let mates: Vec<Owner<'_>> = mates.map(|mate| owner(mate.as_ref())).collect();
    Ok(MigrationState::of(&owner(set), &mates, &history))
}

fn owner(set: &dyn AnySet) -> Owner<'_> {
    Owner {
        key: set.key(),
        known: set.known().iter().map(|known| &known.id).collect(),
    }
}

fn no_history(bind: &'static str, error: NoHistory) -> MigrationProblem {
    match error {
        NoHistory::Refused(source) => MigrationProblem::History { bind, source },
        NoHistory::TimedOut(waited) => MigrationProblem::NoAnswer { bind, waited },
    }
}

fn database<'a>(open: &'a mut Open, bind: &str) -> &'a mut dyn Database {
    &mut **open
        .get_mut(bind)
        .expect("every bind that is involved was opened")
}
