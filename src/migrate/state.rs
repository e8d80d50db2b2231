//! The state of a bind: the migrations of the program, compared with the history of the database. Pure.

use crate::backend::migrate::History;
use crate::migrate::known::MigrationId;
use crate::migrate::problem::MigrationProblem;

/// The state of the migrations of a bind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationState {
    /// The migrations of the program that are applied.
    pub applied: Vec<MigrationId>,
    /// The migrations of the program that are not applied.
    pub pending: Vec<MigrationId>,
    /// The pending migrations that are older than an applied one.
    pub out_of_order: Vec<MigrationId>,
    /// Versions in the database that the program does not have.
    pub unknown: Vec<String>,
    /// Versions in the database that were applied for another bind, with its key. The program does not declare that the
    /// two share the database.
    pub foreign: Vec<(String, String)>,
    /// Migrations of the program whose version is applied for another bind, with the key of that bind.
    pub collisions: Vec<(MigrationId, String)>,
    /// Versions that Diesel applied without this library, so that no bind is recorded for them.
    pub(super) unowned: Vec<String>,
}

/// A bind with its migrations, of the program or of a folder.
#[derive(Clone, Debug)]
pub struct Owner<'a> {
    /// The key of the bind.
    pub key: &'a str,
    /// The migrations, in the order of their versions.
    pub known: Vec<&'a MigrationId>,
}

/// The reaction to versions in the database that the program does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum OnDrift {
    /// Refuses to run a migration there.
    #[default]
    RefuseToRun,
    /// Refuses even if nothing is pending. Also refuses pending migrations that are older than an applied one.
    Refuse,
    /// Continues.
    Allow,
}

impl MigrationState {
    /// Returns whether program and database have the same migrations.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.pending.is_empty() && !self.has_drifted()
    }

    /// Returns whether the database has versions that the program does not have, or migrations in another order.
    /// Pending migrations alone are no drift.
    #[must_use]
    pub fn has_drifted(&self) -> bool {
        !(self.unknown.is_empty()
            && self.out_of_order.is_empty()
            && self.foreign.is_empty()
            && self.collisions.is_empty())
    }

    /// Compares the migrations of `own` with the history of its database, which `mates` share. `own` is one of `mates`.
    ///
    /// A version without a recorded bind, and of no bind in `mates`, is unknown to the first of them.
    #[doc(hidden)]
    #[must_use]
    pub fn of(own: &Owner<'_>, mates: &[Owner<'_>], history: &History) -> Self {
        let mut state = Self::default();
        for id in own.known.iter().copied().cloned() {
            if !history.applied.contains(&id.version) {
                state.pending.push(id);
                continue;
            }
            match history.binds.get(&id.version) {
                Some(bind) if bind != own.key && !id.is_shared() => {
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
            if own.has(version) {
                continue;
            }
            match history.binds.get(version) {
                Some(bind) if bind == own.key => state.unknown.push(version.clone()),
                Some(bind) if mates.iter().any(|mate| mate.key == bind) => {}
                Some(bind) => state.foreign.push((version.clone(), bind.clone())),
                // The owner of the version is unknown: the first of the binds that share the database reports it.
                None if mates.iter().any(|mate| mate.has(version)) => {}
                None if mates[0].key == own.key => state.unknown.push(version.clone()),
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

    /// Refuses a database with migrations of another bind.
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

    /// Refuses drift before a migration is run here.
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

impl Owner<'_> {
    fn has(&self, version: &str) -> bool {
        self.known.iter().any(|id| id.version == version)
    }
}
