//! The errors of a run of migrations, with the steps that were done and those that are left.

use std::fmt;
use std::time::Duration;

use diesel_binds_derive::ErrorDebug;

use crate::commit::Fault;
use crate::error::BoxError;
use crate::migrate::known::MigrationId;

/// The direction of a migration.
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

/// The migrations that were run or reverted, in this order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Migrated {
    /// The migrations, each with its bind.
    pub done: Vec<MigrationStep>,
}

/// An error of a run of migrations, with the steps that were done and those that are left.
#[derive(ErrorDebug)]
pub struct MigrationError {
    problem: Box<MigrationProblem>,
    done: Vec<MigrationStep>,
    left: Vec<MigrationStep>,
}

/// The reason why migrations did not run.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrationProblem {
    /// The builder was given no migrations for the bind.
    #[error("`{bind}` has no migrations: give them to the builder with `.migrations(Bind, ..)`")]
    NoMigrations {
        /// The bind.
        bind: String,
    },
    /// The call is outside of a tokio runtime.
    #[error("migrations need a tokio runtime")]
    NoRuntime,
    /// The database of a bind cannot be reached.
    #[error("the database of `{bind}` cannot be reached")]
    Unreachable {
        /// The bind.
        bind: &'static str,
        /// The cause.
        source: Fault,
    },
    /// The database is in memory: other connections would not see the changes of a migration.
    #[error(
        "the database of `{bind}` is in memory: no other connection sees the tables of a migration there; use a file"
    )]
    InMemory {
        /// The bind.
        bind: &'static str,
    },
    /// Another run has the lock of the database, and did not end in time.
    #[error(
        "another process migrates the database of `{bind}`, and had not finished after {waited:?}"
    )]
    Locked {
        /// The bind.
        bind: &'static str,
        /// The time that the run waited.
        waited: Duration,
    },
    /// The lock could not be taken.
    #[error("the database of `{bind}` cannot be locked")]
    Lock {
        /// The bind.
        bind: &'static str,
        /// The cause.
        source: BoxError,
    },
    /// The connection that holds the lock was lost: another process may migrate now.
    #[error("the lock of the database of `{bind}` was lost, and no further migration was run")]
    LockLost {
        /// The bind.
        bind: &'static str,
    },
    /// The history of the database cannot be read or written.
    #[error("the history of migrations in the database of `{bind}` cannot be read or written")]
    History {
        /// The bind.
        bind: &'static str,
        /// The error of the database.
        source: diesel::result::Error,
    },
    /// The database did not return its history in time. A pooler may have no second connection free.
    #[error(
        "the database of `{bind}` did not answer within {waited:?}: a run takes two connections to it, also of a pooler"
    )]
    NoAnswer {
        /// The bind.
        bind: &'static str,
        /// The time that the run waited.
        waited: Duration,
    },
    /// Two binds are in one database, and each has a migration of that version. If one is applied, the other would also
    /// count as applied.
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
    /// Two binds are in one database, without [`Source::shared_with`](crate::Source::shared_with).
    #[error(
        "`{bind}` and `{with}` are in the same database: correct one of the URLs, or declare that they share it, with \
         `Source::shared_with(..)`"
    )]
    SameDatabase {
        /// The bind.
        bind: &'static str,
        /// The other bind.
        with: &'static str,
    },
    /// The database has migrations of another bind.
    #[error(
        "the database of `{bind}` has migrations of `{owner}` ({}): correct its URL, or declare that they share it, \
         with `Source::shared_with(..)`",
        .versions.join(", ")
    )]
    Foreign {
        /// The bind.
        bind: &'static str,
        /// The bind that the migrations belong to.
        owner: String,
        /// The versions of these migrations.
        versions: Vec<String>,
    },
    /// The database and the program have different migrations.
    #[error("the database of `{bind}` has drifted{}{}", unknown_text(.unknown), out_of_order_text(.out_of_order))]
    Drift {
        /// The bind.
        bind: &'static str,
        /// Versions that the database has and the program does not have.
        unknown: Vec<String>,
        /// Migrations that are pending, and older than one that is applied.
        out_of_order: Vec<MigrationId>,
    },
    /// The migrations of a bind need a version of another bind that is not applied.
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
    /// Migrations are pending, although all should have been run.
    #[error("`{bind}` has pending migrations: {}", names(.pending))]
    Pending {
        /// The bind.
        bind: &'static str,
        /// The migrations.
        pending: Vec<MigrationId>,
    },
    /// A migration failed.
    #[error(
        "`{migration}` of `{bind}` failed{}{}",
        if *.rolled_back { " and was rolled back" } else { "; its changes before the error may be kept: check the database before you run it again" },
        waited_text(.waited_for)
    )]
    Failed {
        /// The bind.
        bind: &'static str,
        /// The migration.
        migration: MigrationId,
        /// `true` if no change of the migration is left. Always `false` outside of a transaction, and on MySQL, whose
        /// DDL commits implicitly.
        rolled_back: bool,
        /// The prepared branches whose locks it may have waited for when the run last looked, which is every 5 seconds.
        waited_for: Vec<String>,
        /// The error of the database.
        source: BoxError,
    },
    /// The run was stopped from within, usually because its runtime was shut down.
    #[error(
        "the run was stopped before its end, and some migrations may be applied: check `binds.migrations().report()` \
         before the next run"
    )]
    Stopped,
}

impl MigrationProblem {
    /// Returns the key of the affected bind, if there is one.
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
    /// Creates the error of a run that stopped at the first step of `left`.
    pub(super) fn incomplete(
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

    /// Returns the reason.
    #[must_use]
    pub fn problem(&self) -> &MigrationProblem {
        &self.problem
    }

    /// Returns the key of the affected bind, if there is one.
    #[must_use]
    pub fn bind(&self) -> Option<&str> {
        self.problem.bind()
    }

    /// Returns the migrations that were run or reverted before, and stay so.
    #[must_use]
    pub fn done(&self) -> &[MigrationStep] {
        &self.done
    }

    /// Returns the migrations that were not run or reverted, with the failed one first. Empty if the run failed before
    /// its first step.
    #[must_use]
    pub fn left(&self) -> &[MigrationStep] {
        &self.left
    }
}

impl From<MigrationProblem> for MigrationError {
    fn from(problem: MigrationProblem) -> Self {
        Self::incomplete(problem, &[], &[])
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
            return f.write_str("no migration had to be run or reverted");
        }
        write!(f, "done: {}", by_bind(&self.done))
    }
}

/// Formats steps by bind: `accounts` (a, b), `ledger` (c)
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

fn waited_text(branches: &[String]) -> String {
    if branches.is_empty() {
        return String::new();
    }
    format!(
        "; it may have waited for the locks of prepared branches ({}): finish them by `binds.recovery().run()` or \
         `diesel-binds recover`",
        branches.join(", ")
    )
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
        "; pending, and older than an applied one: {}",
        names(migrations)
    )
}
