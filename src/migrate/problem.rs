//! Why migrations did not run, how far they came, and what is left.

use std::fmt;
use std::time::Duration;

use diesel_binds_derive::ErrorDebug;

use crate::commit::Fault;
use crate::error::BoxError;
use crate::migrate::known::MigrationId;

/// Which way a migration goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Run,
    Revert,
}

/// A migration of one bind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MigrationStep {
    /// The key of the bind.
    pub bind: &'static str,
    /// The migration.
    pub migration: MigrationId,
}

/// What was run, or reverted, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// Each migration, with its bind.
    pub done: Vec<MigrationStep>,
}

/// Why migrations did not run, and how far they came.
#[derive(ErrorDebug)]
pub struct MigrationError {
    problem: Box<MigrationProblem>,
    done: Vec<MigrationStep>,
    left: Vec<MigrationStep>,
}

/// Why migrations did not run.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationProblem {
    /// The builder was given no migrations for the bind.
    #[error("`{bind}` has no migrations: give them to the builder with `.migrations(Bind, ..)`")]
    NoMigrations {
        /// The bind.
        bind: String,
    },
    /// There is no tokio runtime here.
    #[error("migrations need a tokio runtime")]
    NoRuntime,
    /// The database of a bind cannot be reached.
    #[error("the database of `{bind}` cannot be reached")]
    Unreachable {
        /// The bind.
        bind: &'static str,
        /// Why.
        source: Fault,
    },
    /// The database is in memory: what a migration makes there, no other connection sees.
    #[error(
        "the database of `{bind}` is in memory: what a migration makes there, no other connection sees; use a file"
    )]
    InMemory {
        /// The bind.
        bind: &'static str,
    },
    /// Another run of migrations has the lock of the database, and did not end in time.
    #[error(
        "another process migrates the database of `{bind}`, and was not done within {waited:?}"
    )]
    Locked {
        /// The bind.
        bind: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The lock could not be taken.
    #[error("the database of `{bind}` cannot be locked")]
    Lock {
        /// The bind.
        bind: &'static str,
        /// Why.
        source: BoxError,
    },
    /// The connection that holds the lock was lost: another process may migrate now.
    #[error("the lock of the database of `{bind}` was lost, so no further migration was begun")]
    LockLost {
        /// The bind.
        bind: &'static str,
    },
    /// What ran in the database cannot be read or noted.
    #[error("the history of migrations in the database of `{bind}` cannot be read or written")]
    History {
        /// The bind.
        bind: &'static str,
        /// What the database said.
        source: diesel::result::Error,
    },
    /// The database did not say what ran there. Behind a pooler: it has no second connection to give.
    #[error(
        "the database of `{bind}` did not answer within {waited:?}: a run takes two connections to it, also of a pooler"
    )]
    NoAnswer {
        /// The bind.
        bind: &'static str,
        /// How long it was waited for.
        waited: Duration,
    },
    /// Two binds are in one database, and each has a migration of that version: one would count as applied when the
    /// other is.
    #[error(
        "version collision: `{migration}` of `{bind}` has the version of a migration of `{with}` in the same database"
    )]
    VersionCollision {
        /// The bind.
        bind: &'static str,
        /// Its migration.
        migration: MigrationId,
        /// The other bind.
        with: String,
    },
    /// Two binds are in one database, and do not say so.
    #[error(
        "`{bind}` and `{with}` are in the same database: one of the URLs is wrong; or say so, with `Source::shared_with(..)`"
    )]
    SameDatabase {
        /// The bind.
        bind: &'static str,
        /// The other bind.
        with: &'static str,
    },
    /// The database has migrations of another bind.
    #[error(
        "the database of `{bind}` has migrations of `{owner}` ({}): its URL is wrong; or say that they share it, with \
         `Source::shared_with(..)`",
        .versions.join(", ")
    )]
    Foreign {
        /// The bind.
        bind: &'static str,
        /// The bind whose migrations they are.
        owner: String,
        /// Their versions.
        versions: Vec<String>,
    },
    /// The database and the program have different migrations.
    #[error("the database of `{bind}` has drifted{}{}", unknown_text(.unknown), out_of_order_text(.out_of_order))]
    Drift {
        /// The bind.
        bind: &'static str,
        /// Versions that the database has and the program has not.
        unknown: Vec<String>,
        /// Migrations that are pending, and older than one that is applied.
        out_of_order: Vec<MigrationId>,
    },
    /// The migrations of a bind need another bind at a version that it is not at.
    #[error("`{bind}` needs `{needs}` at least at version {version}, which is not applied there")]
    Needs {
        /// The bind.
        bind: &'static str,
        /// The other bind.
        needs: &'static str,
        /// The version.
        version: String,
    },
    /// A migration cannot be reverted, because the migrations of another bind need it.
    #[error(
        "`{migration}` of `{bind}` cannot be reverted: `{by}` needs it, and has migrations that are applied"
    )]
    NeededBy {
        /// The bind.
        bind: &'static str,
        /// The migration.
        migration: MigrationId,
        /// The bind that needs it.
        by: &'static str,
    },
    /// Migrations are pending, where all should have been run.
    #[error("`{bind}` has pending migrations: {}", names(.pending))]
    Pending {
        /// The bind.
        bind: &'static str,
        /// The migrations.
        pending: Vec<MigrationId>,
    },
    /// A migration failed.
    #[error(
        "`{migration}` of `{bind}` failed{}",
        if *.rolled_back { " and was rolled back" } else { ": what it changed before may have stayed, so look before it is run again" }
    )]
    Failed {
        /// The bind.
        bind: &'static str,
        /// The migration.
        migration: MigrationId,
        /// Nothing of it is left. Never so for what runs outside of a transaction, and for MySQL, whose DDL commits by
        /// itself.
        rolled_back: bool,
        /// What the database said.
        source: BoxError,
    },
    /// The run was stopped from the inside: its runtime was shut down, most often.
    #[error("the run did not come to its end: look at the report before the next one")]
    Stopped,
}

impl MigrationProblem {
    /// The key of the bind that it is about, if it is about one.
    #[must_use]
    pub fn bind(&self) -> Option<&str> {
        match self {
            Self::NoMigrations { bind } => Some(bind),
            Self::Unreachable { bind, .. }
            | Self::InMemory { bind }
            | Self::Locked { bind, .. }
            | Self::Lock { bind, .. }
            | Self::LockLost { bind }
            | Self::History { bind, .. }
            | Self::NoAnswer { bind, .. }
            | Self::VersionCollision { bind, .. }
            | Self::SameDatabase { bind, .. }
            | Self::Foreign { bind, .. }
            | Self::Drift { bind, .. }
            | Self::Needs { bind, .. }
            | Self::NeededBy { bind, .. }
            | Self::Pending { bind, .. }
            | Self::Failed { bind, .. } => Some(bind),
            Self::NoRuntime | Self::Stopped => None,
        }
    }
}

impl MigrationError {
    /// A run that stopped at the first of `left`.
    pub(super) fn half_way(
        problem: MigrationProblem,
        done: &[MigrationStep],
        left: &[MigrationStep],
    ) -> Self {
        Self {
            problem: Box::new(problem),
            done: done.to_vec(),
            left: left.to_vec(),
        }
    }

    /// Why.
    #[must_use]
    pub fn problem(&self) -> &MigrationProblem {
        &self.problem
    }

    /// The key of the bind that it is about, if it is about one.
    #[must_use]
    pub fn bind(&self) -> Option<&str> {
        self.problem.bind()
    }

    /// What was run or reverted before, and stays.
    #[must_use]
    pub fn done(&self) -> &[MigrationStep] {
        &self.done
    }

    /// What would have been run or reverted and was not, with the migration that failed first. Empty if nothing was
    /// begun, because something was found before.
    #[must_use]
    pub fn left(&self) -> &[MigrationStep] {
        &self.left
    }
}

impl From<MigrationProblem> for MigrationError {
    fn from(problem: MigrationProblem) -> Self {
        Self::half_way(problem, &[], &[])
    }
}

impl fmt::Display for MigrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        match *self.problem {
            MigrationProblem::Stopped => return Ok(()),
            _ if self.done.is_empty() => f.write_str("; nothing was done")?,
            _ => write!(f, "; done: {}", by_bind(&self.done))?,
        }
        if !self.left.is_empty() {
            write!(f, "; not done: {}", by_bind(&self.left))?;
        }
        Ok(())
    }
}

impl std::error::Error for MigrationError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.problem.source()
    }
}

impl fmt::Display for Migrated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.done.is_empty() {
            return f.write_str("nothing was to be done");
        }
        write!(f, "done: {}", by_bind(&self.done))
    }
}

/// `accounts` (a, b), `ledger` (c)
fn by_bind(steps: &[MigrationStep]) -> String {
    steps
        .chunk_by(|one, two| one.bind == two.bind)
        .map(|steps| {
            let names: Vec<_> = steps.iter().map(|step| &*step.migration.name).collect();
            format!("`{}` ({})", steps[0].bind, names.join(", "))
        })
        .collect::<Vec<_>>()
        .join(", ")
}

fn names(migrations: &[MigrationId]) -> String {
    let names: Vec<&str> = migrations.iter().map(|id| &*id.name).collect();
    names.join(", ")
}

fn unknown_text(versions: &[String]) -> String {
    if versions.is_empty() {
        return String::new();
    }
    format!(
        "; in the database and not in the program: {}",
        versions.join(", ")
    )
}

fn out_of_order_text(migrations: &[MigrationId]) -> String {
    if migrations.is_empty() {
        return String::new();
    }
    format!(
        "; pending, and older than what is applied: {}",
        names(migrations)
    )
}
