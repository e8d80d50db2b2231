//! Where a bind stands: what the program has, held against what the database says. Pure.

use crate::backend::migrate::History;
use crate::migrate::any_set::AnySet;
use crate::migrate::known::MigrationId;
use crate::migrate::order::Sets;
use crate::migrate::problem::MigrationProblem;

/// Where the migrations of a bind stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationState {
    /// In the program, and applied.
    pub applied: Vec<MigrationId>,
    /// In the program, and not applied.
    pub pending: Vec<MigrationId>,
    /// Those of `pending` that are older than one that is applied.
    pub out_of_order: Vec<MigrationId>,
    /// Versions in the database that the program does not have.
    pub unknown: Vec<String>,
    /// Versions in the database that were applied for another bind, which does not share the database as far as the
    /// program says: with the key of that bind.
    pub foreign: Vec<(String, String)>,
    /// In the program; and another bind has applied a migration of that version: with the key of that bind.
    pub collisions: Vec<(MigrationId, String)>,
    /// Versions that Diesel applied without us, so that no bind is noted for them.
    pub(super) unowned: Vec<String>,
}

/// What to do about versions in the database that the program does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnDrift {
    /// Refuse to run something there.
    #[default]
    RefuseToRun,
    /// Refuse, also if nothing is pending; and also what is pending and older than what is applied.
    Refuse,
    /// Go on.
    Allow,
}

impl MigrationState {
    /// Whether program and database have the same migrations.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.pending.is_empty() && !self.has_drifted()
    }

    /// Whether the database has what the program has not, or in another order. Pending migrations alone are no drift.
    #[must_use]
    pub fn has_drifted(&self) -> bool {
        !(self.unknown.is_empty()
            && self.out_of_order.is_empty()
            && self.foreign.is_empty()
            && self.collisions.is_empty())
    }

    /// Where `set` stands in a database with this history.
    pub(super) fn of(set: &dyn AnySet, sets: &Sets, history: &History) -> Self {
        let mates: Vec<&dyn AnySet> = sets
            .sets
            .iter()
            .map(AsRef::as_ref)
            .filter(|other| other.place() == set.place())
            .collect();
        let mut state = Self::default();
        for known in set.known() {
            let id = known.id.clone();
            if !history.applied.contains(&id.version) {
                state.pending.push(id);
                continue;
            }
            match history.binds.get(&id.version) {
                Some(bind) if bind != set.key() && !id.is_shared() => {
                    state.collisions.push((id, bind.clone()));
                }
                Some(_) => state.applied.push(id),
                None => {
                    state.unowned.push(id.version.clone());
                    state.applied.push(id);
                }
            }
        }
        for version in &history.applied {
            if knows(set, version) {
                continue;
            }
            match history.binds.get(version) {
                Some(bind) if bind == set.key() => state.unknown.push(version.clone()),
                Some(bind) if mates.iter().any(|mate| mate.key() == bind) => {}
                Some(bind) => state.foreign.push((version.clone(), bind.clone())),
                // Nobody knows whose it is: the first of those that share the database reports it.
                None if mates.iter().any(|mate| knows(*mate, version)) => {}
                None if mates[0].key() == set.key() => state.unknown.push(version.clone()),
                None => {}
            }
        }
        if let Some(last) = state.applied.last() {
            state.out_of_order = state
                .pending
                .iter()
                .filter(|id| id.version < last.version)
                .cloned()
                .collect();
        }
        state
    }

    /// What must not be, whatever is asked for.
    pub(super) fn refuse_wrong_database(&self, bind: &'static str) -> Result<(), MigrationProblem> {
        if let Some((migration, with)) = self.collisions.first() {
            return Err(MigrationProblem::VersionCollision {
                bind,
                migration: migration.clone(),
                with: with.clone(),
            });
        }
        if let Some((_, owner)) = self.foreign.first() {
            return Err(MigrationProblem::Foreign {
                bind,
                owner: owner.clone(),
                versions: self
                    .foreign
                    .iter()
                    .filter(|(_, other)| other == owner)
                    .map(|(version, _)| version.clone())
                    .collect(),
            });
        }
        Ok(())
    }

    /// What must not be before something is run here.
    pub(super) fn refuse_drift(
        &self,
        bind: &'static str,
        on_drift: OnDrift,
    ) -> Result<(), MigrationProblem> {
        let refused = match on_drift {
            OnDrift::Allow => false,
            OnDrift::RefuseToRun => !self.pending.is_empty() && !self.unknown.is_empty(),
            OnDrift::Refuse => !self.unknown.is_empty() || !self.out_of_order.is_empty(),
        };
        if refused {
            return Err(self.drift(bind));
        }
        Ok(())
    }

    pub(super) fn drift(&self, bind: &'static str) -> MigrationProblem {
        MigrationProblem::Drift {
            bind,
            unknown: self.unknown.clone(),
            out_of_order: self.out_of_order.clone(),
        }
    }
}

fn knows(set: &dyn AnySet, version: &str) -> bool {
    set.known().iter().any(|known| known.id.version == version)
}
