//! The migrations that the program has for one bind, by name, and the mistakes in them.

use std::fmt;

use diesel::backend::Backend;
use diesel::migration::MigrationSource;

use crate::backend::ProtocolMigration;

/// The length of the longest version that fits into Diesel's table and our statements.
const MAX_VERSION: usize = 50;

/// The version of the migration that `diesel setup` puts into every folder of PostgreSQL.
const INITIAL_SETUP: &str = "00000000000000";

/// A migration of a bind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct MigrationId {
    /// The version, as it is in Diesel's table: `20260102000000`.
    pub version: String,
    /// The name of the folder: `2026-01-02-000000_users`.
    pub name: String,
}

/// A migration with the properties that a run needs.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: MigrationId,
    pub(crate) in_transaction: bool,
}

/// A mistake in the migrations that were given for a bind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationMistake {
    /// The bind is not registered with its type.
    #[error("the bind is not registered")]
    UnknownBind,
    /// The migrations were given twice.
    #[error("they were given twice")]
    Repeated,
    /// The migrations cannot be read.
    #[error("they cannot be read: {reason}")]
    Unreadable {
        /// The error of the source.
        reason: String,
    },
    /// A version has a character or a length that Diesel's table and our statements do not allow.
    #[error("the version of `{migration}` is not of [A-Za-z0-9.+] and 1 to {MAX_VERSION} bytes")]
    InvalidVersion {
        /// The migration.
        migration: String,
    },
    /// Two migrations have the same version: Diesel would run one, and never the other.
    #[error("`{first}` and `{second}` have the same version")]
    RepeatedVersion {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Another bind in the same database has a migration of the same version. If one is applied, the other would also
    /// count as applied.
    #[error(
        "`{migration}` has the version of a migration of `{with}`, which is in the same database"
    )]
    VersionCollision {
        /// The migration.
        migration: String,
        /// The other bind.
        with: &'static str,
    },
    /// The bind needs a migration that another bind does not have.
    #[error("they need `{needs}` at version {version}, which it does not have")]
    UnknownVersion {
        /// The other bind.
        needs: &'static str,
        /// The version.
        version: String,
    },
    /// Binds need each other in a circle.
    #[error("their needs form a cycle: {}", .binds.join(", "))]
    Cycle {
        /// All binds of the circle, and those that need them.
        binds: Vec<&'static str>,
    },
}

impl MigrationId {
    /// Returns the migration in a folder of this name.
    #[doc(hidden)]
    #[must_use]
    pub fn of_folder(name: String) -> Self {
        Self {
            version: version_of(&name),
            name,
        }
    }

    /// Returns whether the migration is the same in every folder, and so belongs to no bind alone.
    pub(crate) fn is_shared(&self) -> bool {
        self.version == INITIAL_SETUP || self.name == ProtocolMigration::NAME
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Reads the migrations of a source, in the order of the versions.
pub(crate) fn read<DB: Backend>(
    source: &dyn MigrationSource<DB>,
) -> Result<Vec<Known>, MigrationMistake> {
    let migrations = source
        .migrations()
        .map_err(|error| MigrationMistake::Unreadable {
            reason: error.to_string(),
        })?;
    let mut known: Vec<Known> = Vec::with_capacity(migrations.len());
    for migration in &migrations {
        let name = migration.name();
        let id = MigrationId {
            version: name.version().to_string(),
            name: name.to_string(),
        };
        if !is_version(&id.version) {
            return Err(MigrationMistake::InvalidVersion { migration: id.name });
        }
        known.push(Known {
            id,
            in_transaction: migration.metadata().run_in_transaction(),
        });
    }
    known.sort_by(|a, b| a.id.cmp(&b.id));
    for pair in known.windows(2) {
        if pair[0].id.version == pair[1].id.version {
            return Err(MigrationMistake::RepeatedVersion {
                first: pair[0].id.name.clone(),
                second: pair[1].id.name.clone(),
            });
        }
    }
    Ok(known)
}

/// Returns the version in the user's text: the name of a folder, or its beginning.
#[must_use]
pub fn version_of(written: &str) -> String {
    written
        .split('_')
        .next()
        .unwrap_or_default()
        .replace('-', "")
}

fn is_version(version: &str) -> bool {
    (1..=MAX_VERSION).contains(&version.len())
        && version
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'+'))
}
