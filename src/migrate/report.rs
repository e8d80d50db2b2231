//! A report of the applied, pending and unknown migrations of each bind, for a person to read, and for a program to
//! match on.

use std::fmt;

use crate::backend::Backend;
use crate::migrate::known::MigrationId;
use crate::migrate::problem::MigrationProblem;
use crate::migrate::state::MigrationState;

/// The states of the migrations of all binds.
#[derive(Debug)]
#[non_exhaustive]
pub struct MigrationReport {
    /// The states of the binds, in the order in which they would run.
    pub binds: Vec<BindMigrations>,
}

/// The state of the migrations of one bind.
#[derive(Debug)]
#[non_exhaustive]
pub struct BindMigrations {
    /// The key of the bind.
    pub bind: String,
    /// The kind of server. `None` if the bind has no migrations.
    pub backend: Option<Backend>,
    /// The state of the migrations, or the reason why it is not known.
    pub state: Result<MigrationState, MigrationProblem>,
}

/// One line of a list: a migration, or a version that only the database has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListedMigration {
    /// The key of the bind.
    pub bind: String,
    /// The version of the migration.
    pub version: String,
    /// The name of the folder. `None` if only the database has the version.
    pub name: Option<String>,
    /// The status of the migration.
    pub status: MigrationStatus,
}

/// The status of a migration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MigrationStatus {
    /// The migration is applied.
    Applied,
    /// The migration is not applied.
    Pending,
    /// The version is applied, and the program does not have it.
    Unknown,
    /// A migration of that version is applied, but for another bind.
    OfAnotherBind,
}

impl MigrationReport {
    /// Returns whether every bind was reached, and has exactly the migrations of the program.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.binds
            .iter()
            .all(|bind| bind.state.as_ref().is_ok_and(MigrationState::is_current))
    }

    /// Returns whether a database has versions that the program does not have, or a pending migration is older than an
    /// applied one.
    #[must_use]
    pub fn has_drifted(&self) -> bool {
        self.binds
            .iter()
            .any(|bind| bind.state.as_ref().is_ok_and(MigrationState::has_drifted))
    }

    /// Returns the report of one bind.
    #[must_use]
    pub fn bind(&self, key: &str) -> Option<&BindMigrations> {
        self.binds.iter().find(|bind| bind.bind == key)
    }
}

impl BindMigrations {
    /// Lists all migrations in the order of their versions.
    pub(super) fn list(state: &MigrationState, bind: &str) -> Vec<ListedMigration> {
        let known = |status| {
            move |id: &MigrationId| ListedMigration {
                bind: bind.to_owned(),
                version: id.version.clone(),
                name: Some(id.name.clone()),
                status,
            }
        };
        let bare = |version: &String, status| ListedMigration {
            bind: bind.to_owned(),
            version: version.clone(),
            name: None,
            status,
        };
        let mut list: Vec<ListedMigration> = Vec::new();
        list.extend(state.applied.iter().map(known(MigrationStatus::Applied)));
        list.extend(state.pending.iter().map(known(MigrationStatus::Pending)));
        for (id, _) in &state.collisions {
            list.push(known(MigrationStatus::OfAnotherBind)(id));
        }
        for version in &state.unknown {
            list.push(bare(version, MigrationStatus::Unknown));
        }
        for (version, _) in &state.foreign {
            list.push(bare(version, MigrationStatus::OfAnotherBind));
        }
        list.sort_by(|a, b| a.version.cmp(&b.version));
        list
    }
}

impl fmt::Display for MigrationStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Applied => "applied",
            Self::Pending => "pending",
            Self::Unknown => "unknown",
            Self::OfAnotherBind => "of another bind",
        })
    }
}

impl fmt::Display for MigrationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bind in &self.binds {
            write!(f, "{bind}")?;
        }
        Ok(())
    }
}

impl fmt::Display for BindMigrations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.backend {
            Some(backend) => write!(f, "{} ({backend}): ", self.bind)?,
            None => write!(f, "{}: ", self.bind)?,
        }
        let state = match &self.state {
            Ok(state) => state,
            Err(problem) => {
                write!(f, "{problem}")?;
                let mut source = std::error::Error::source(problem);
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                return writeln!(f);
            }
        };
        let (applied, pending) = (state.applied.len(), state.pending.len());
        writeln!(f, "{applied} applied, {pending} pending")?;
        for id in &state.pending {
            writeln!(f, "  pending: {id}")?;
        }
        for id in &state.out_of_order {
            writeln!(f, "  drift: {id} is older than an applied one")?;
        }
        for version in &state.unknown {
            writeln!(
                f,
                "  drift: {version} is in the database and not in the program"
            )?;
        }
        for (version, bind) in &state.foreign {
            writeln!(f, "  drift: {version} was applied for `{bind}`")?;
        }
        for (id, bind) in &state.collisions {
            writeln!(
                f,
                "  drift: {id} has the version of a migration of `{bind}`, which is applied here"
            )?;
        }
        Ok(())
    }
}
