//! The errors of a sandbox, which the errors of sessions and commits contain as one variant each.

use std::time::Duration;

use diesel_binds_derive::ErrorDebug;

/// An error that only a sandbox has: at its start, in a unit on its binds, or at its end.
///
/// A unit on the binds of a sandbox returns it as [`Error::Sandbox`](crate::Error::Sandbox), and a commit as
/// [`Fault::Sandbox`](crate::error::Fault::Sandbox).
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// No bind is declared, so that no query could run. Nothing was opened.
    #[error(
        "the sandbox has no binds: add `.bind(..)` of each that the test uses, before `start()`"
    )]
    NoBinds,

    /// The application has not registered the bind. Nothing was opened.
    #[error("the bind `{bind}` is not registered in the application's `Binds`")]
    UnknownBind {
        /// The bind.
        bind: &'static str,
    },

    /// No connection could be opened. Nothing was changed.
    #[error("the sandbox got no connection to `{bind}`")]
    Connect {
        /// The bind.
        bind: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// Commits of the connection could not be prevented, and it was closed. Nothing was changed.
    ///
    /// On PostgreSQL the role needs the right to create temporary tables. On SQLite the file is copied to the folder
    /// for temporary files.
    #[error(
        "the sandbox could not keep `{bind}` from committing (PostgreSQL: the role needs TEMPORARY on the database; \
         SQLite: the file is copied)"
    )]
    Enclose {
        /// The bind.
        bind: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The test did not declare the bind. The query did not run.
    #[error(
        "the test did not declare that it uses `{bind}`: add `.bind(..)` of it to the sandbox, before `start()`"
    )]
    Undeclared {
        /// The bind.
        bind: &'static str,
    },

    /// Another unit had the only connection of the bind until the time limit or the deadline. The query did not run.
    #[error(
        "`{bind}` has one connection in a sandbox, and another unit had it for {waited:?}; the query did not run: end or \
         drop that session first"
    )]
    OneConnection {
        /// The bind.
        bind: &'static str,
        /// The time limit of the wait.
        waited: Duration,
    },

    /// The call concerns the real database, which a sandbox does not use: migrations, recovery, an id of a database, a
    /// plan of faults for a commit.
    #[error(
        "these are the binds of a sandbox, which does not use the real database: make the call on the application's \
         own `Binds`"
    )]
    RealDatabase,

    /// The transaction around all units has ended before the sandbox: by a `COMMIT` or `ROLLBACK` of the application, a
    /// statement that was dropped before its reply, or the server (a deadlock on MariaDB, a lost connection). No query
    /// runs in the sandbox any more: start another one.
    ///
    /// Its changes were not kept, with two exceptions. Writes to tables without transactions stay, and are no longer
    /// reported. Transactions on the raw connection after a `ROLLBACK` of the application may be committed.
    #[error(
        "the sandbox has lost its transaction on `{bind}`, by a COMMIT or ROLLBACK of the application, a statement that \
         was dropped before its reply, or an error of the server (a deadlock on MariaDB); nothing that ran in that \
         transaction was kept: start another sandbox"
    )]
    Lost {
        /// The bind.
        bind: &'static str,
        /// The error of the database at the begin of a unit, if one revealed the loss.
        source: Option<diesel::result::Error>,
    },

    /// The sandbox has ended before the unit. Nothing of either is kept, and the query did not run.
    #[error(
        "the sandbox has ended before a unit on `{bind}`, and nothing of either is kept: end the sandbox after its sessions"
    )]
    Ended {
        /// The bind.
        bind: &'static str,
    },

    /// A session still has the connection of the bind. The connection is rolled back and closed when that session ends.
    #[error("a session of the sandbox is still open on `{bind}`: end or drop it first")]
    StillOpen {
        /// The bind.
        bind: &'static str,
    },

    /// A change cannot be rolled back, usually in a table without transactions. **It is still there.**
    #[error(
        "a change of the sandbox on `{bind}` was kept, or may have been: clean the database by hand"
    )]
    Kept {
        /// The bind.
        bind: &'static str,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl SandboxError {
    /// Returns the key of the affected bind, if there is one.
    #[must_use]
    pub fn bind(&self) -> Option<&str> {
        match self {
            Self::UnknownBind { bind }
            | Self::Connect { bind, .. }
            | Self::Enclose { bind, .. }
            | Self::Undeclared { bind }
            | Self::OneConnection { bind, .. }
            | Self::Lost { bind, .. }
            | Self::Ended { bind }
            | Self::StillOpen { bind }
            | Self::Kept { bind, .. } => Some(bind),
            Self::NoBinds | Self::RealDatabase => None,
        }
    }
}
