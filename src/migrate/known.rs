//! The migrations that the program has for one bind, by name; and what can be wrong with them.

use std::fmt;

use diesel::backend::Backend;
use diesel::migration::MigrationSource;

use crate::backend::ProtocolMigration;

/// The longest version and character set that fit into Diesel's table and into our statements.
const MAX_VERSION: usize = 50;

/// The version of what `diesel setup` puts into every folder of PostgreSQL.
const INITIAL_SETUP: &str = "00000000000000";

/// A migration of a bind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct MigrationId {
    /// Its version, as it stands in Diesel's table: `20260102000000`.
    pub version: String,
    /// The name of its folder: `2026-01-02-000000_users`.
    pub name: String,
}

/// A migration as the run needs to know it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: MigrationId,
    pub(crate) in_transaction: bool,
}

/// What can be wrong with the migrations that were given for a bind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationMistake {
    /// The bind is not registered with its type.
    #[error("the bind is not registered")]
    UnknownBind,
    /// They were given twice.
    #[error("they were given twice")]
    Repeated,
    /// They cannot be read.
    #[error("they cannot be read: {reason}")]
    Unreadable {
        /// What the source said.
        reason: String,
    },
    /// A version has a character or a length that Diesel's table and our statements do not take.
    #[error("the version of `{migration}` is not of [A-Za-z0-9.+] and 1 to {MAX_VERSION} bytes")]
    InvalidVersion {
        /// The migration.
        migration: String,
    },
    /// Two of them have the same version: Diesel would run one, and never the other.
    #[error("`{first}` and `{second}` have the same version")]
    RepeatedVersion {
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// Another bind in the same database has a migration of the same version: one of them would count as applied when
    /// the other is.
    #[error(
        "`{migration}` has the version of a migration of `{with}`, which is in the same database"
    )]
    VersionCollision {
        /// The migration.
        migration: String,
        /// The other bind.
        with: &'static str,
    },
    /// The bind needs a migration of another bind that is not there.
    #[error("they need `{needs}` at version {version}, which it does not have")]
    UnknownVersion {
        /// The other bind.
        needs: &'static str,
        /// The version.
        version: String,
    },
    /// Binds need each other in a circle.
    #[error("they need each other in a circle: {}", .binds.join(", "))]
    Cycle {
        /// All binds of which none can be first.
        binds: Vec<&'static str>,
    },
}

impl MigrationId {
    /// Whether it is one that is the same in every folder, and so nobody's own.
    pub(crate) fn is_shared(&self) -> bool {
        self.version == INITIAL_SETUP || self.name == ProtocolMigration::NAME
    }
}

impl fmt::Display for MigrationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// What a source has, in the order of the versions.
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

/// The version in what the user wrote: the name of a folder, or its beginning.
pub(crate) fn version_of(written: &str) -> String {
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
