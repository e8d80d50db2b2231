//! The error of a session, which includes that of a commit.

use diesel_binds_derive::ErrorDebug;

#[cfg(feature = "testing")]
use crate::commit::SandboxError;
use crate::commit::{CommitError, Fault, is_conflict};
use crate::error::{AbortReason, PoolError, Waiting};

/// An error of a session.
///
/// Every variant that concerns a bind names it. Unless a variant says otherwise, the unit of work is still open after
/// it, and nothing is committed.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A query failed, or found no row.
    #[error("a query on `{bind}` failed")]
    Query {
        /// The bind.
        bind: &'static str,
        /// The error of the database.
        source: diesel::result::Error,
    },

    /// A query failed because its connection no longer fits the database: a column or a type was changed, or text or a
    /// proxy dropped its prepared statements ([`diesel`](Self::diesel) returns the error of the database). The unit can
    /// be run again, and [`Binds::retrying`](crate::Binds::retrying) does so. The connection is closed when the unit ends,
    /// and not used again.
    #[error(
        "a query on `{bind}` failed because its connection has prepared statements that no longer fit the database; roll \
         back and run the unit again: the connection is not used again"
    )]
    StaleConnection {
        /// The bind.
        bind: &'static str,
        /// The error of the database.
        source: diesel::result::Error,
    },

    /// The transaction of the unit could not begin on `bind`. The query did not run.
    #[error("no transaction could begin on `{bind}`")]
    Begin {
        /// The bind.
        bind: &'static str,
        /// The error of the database.
        source: diesel::result::Error,
    },

    /// A hook of the bind failed after its transaction had begun
    /// ([`after_begin`](crate::BindsBuilder::after_begin)). That transaction is rolled back, and the query did not run.
    #[error("the `after_begin` hook failed on `{bind}`; the query did not run: roll the unit back")]
    AfterBegin {
        /// The bind.
        bind: &'static str,
        /// The error of the hook.
        source: diesel::result::Error,
    },

    /// The pool gave no connection. The query did not run.
    #[error("the pool of `{bind}` gave no connection")]
    Pool {
        /// The bind.
        bind: &'static str,
        /// The cause.
        source: PoolError,
    },

    /// The deadline of the unit passed. The unit can only be rolled back.
    #[error("the deadline of the unit passed while it waited for {waiting_for} of `{bind}`")]
    DeadlineExceeded {
        /// The bind.
        bind: &'static str,
        /// The operation that the unit waited for.
        waiting_for: Waiting,
    },

    /// The unit can only be rolled back, for the given `reason`. The query did not run.
    #[error("the unit can only be rolled back, because of `{bind}`: {reason}")]
    AbortOnly {
        /// The bind.
        bind: &'static str,
        /// The reason.
        reason: AbortReason,
    },

    /// The raw connection of the bind, or a stream on it, is in use by this session. The query did not run.
    #[error("`{bind}` is in use by a raw connection or a stream of this session: drop that first")]
    BindBusy {
        /// The bind.
        bind: &'static str,
    },

    /// A hook at the begin of a transaction on the bind ([`after_begin`](crate::BindsBuilder::after_begin)) ran a query
    /// on that bind through a session. The query would have waited for the hook, or run it again. It did not run.
    #[error(
        "an `after_begin` hook of `{bind}` ran a query on that bind; the query did not run: use the connection that \
         the hook gets"
    )]
    InsideHook {
        /// The bind.
        bind: &'static str,
    },

    /// A statement in text, a hook at the begin or the raw connection has set `PRAGMA foreign_keys` (SQLite). Within a
    /// transaction, SQLite ignores it without an error. Returned by the statement itself, or by the first query after
    /// the raw connection, which then did not run.
    #[error(
        "`PRAGMA foreign_keys` was set within a transaction on `{bind}`, where it has no effect: set it where the \
         connection is opened (`Source::setup`)"
    )]
    WithoutEffect {
        /// The bind.
        bind: &'static str,
    },

    /// The bind is not registered. The query did not run.
    #[error("the bind `{bind}` is not registered: pass it to `Binds::builder()`")]
    UnknownBind {
        /// The bind.
        bind: &'static str,
    },

    /// A subquery is boxed, or the rows of an upsert come from a query, so the type does not name the bind of its
    /// tables. The statement did not run.
    #[error(
        "a statement on `{bind}` has a boxed subquery, or the rows of its upsert come from a query, and that may read another \
         bind; nothing was sent: if it reads this one alone, run it on `&session.on(Bind)`"
    )]
    UnknownSource {
        /// The bind.
        bind: &'static str,
    },

    /// The unit or the bind is read-only, and the query may write or lock. The query did not run.
    #[error(
        "the statement on `{bind}` may write or lock, and the unit or the bind is read-only; it did not run: use a \
         unit that may write"
    )]
    ReadOnly {
        /// The bind.
        bind: &'static str,
    },

    /// The bind does not support an option of the unit. No transaction began there, and the query did not run.
    #[error("`{option}` cannot hold on `{bind}`: {reason}; no transaction began there")]
    Unsupported {
        /// The bind.
        bind: &'static str,
        /// The option.
        option: &'static str,
        /// The reason.
        reason: &'static str,
    },

    /// The session works within outer transactions ([`SessionOptions::within`](crate::SessionOptions::within)), and has
    /// none for this bind. The query did not run.
    #[error(
        "the session works within outer transactions, and has none for `{bind}`: give it one by `SessionOptions::within`"
    )]
    NoOuterConnection {
        /// The bind.
        bind: &'static str,
    },

    /// The outer connection of the bind ([`OuterConnection`](crate::OuterConnection)) was closed, and its transaction
    /// undone: a statement on it was dropped or passed its deadline, or a unit could not be undone. The query did not
    /// run.
    #[error(
        "the outer connection of `{bind}` was closed after a statement that did not complete, or a unit that could not be \
         undone; its transaction is undone, and the query did not run: begin another outer transaction"
    )]
    OuterConnectionClosed {
        /// The bind.
        bind: &'static str,
    },

    /// The tables of the commit protocol exist in the database, but cannot be used: they were created by another
    /// version, or changed since. Nothing was changed now.
    #[error(
        "the tables of diesel-binds on `{bind}` cannot be used as they are; nothing was changed"
    )]
    Tables {
        /// The bind.
        bind: &'static str,
        /// The problem with the tables.
        source: Fault,
    },

    /// The work must not be part of an open unit ([`Propagation::Never`](crate::Propagation::Never)), and one is open
    /// in the session. No part of the work ran.
    #[error(
        "the work must be a unit of its own, and a unit is open in the session; the work did not run: commit or roll \
         back first"
    )]
    InsideUnit,

    /// A second bind that cannot prepare is about to write: the unit could not commit as one. The query did not run.
    #[error(
        "`{first}` wrote and cannot prepare, and neither can `{second}` ({reason}): the two cannot commit as one, so the \
         statement did not run; SQLite files can, if one is attached to the connection of the other (`Source::attach_to`)"
    )]
    NotAtomic {
        /// The bind that wrote.
        first: &'static str,
        /// The bind that was about to write.
        second: &'static str,
        /// The reason why it cannot prepare.
        reason: String,
    },

    /// The registry was closed. The query did not run.
    #[error(
        "the binds are closed; the query on `{bind}` did not run: start no work after `binds.close()`"
    )]
    Closed {
        /// The bind.
        bind: &'static str,
    },

    /// The call is outside of a tokio runtime. The query did not run.
    #[error(
        "a session on `{bind}` needs a tokio runtime; the query did not run: make the call within a runtime"
    )]
    NoRuntime {
        /// The bind.
        bind: &'static str,
    },

    /// The call is outside of a scope, or in a task that does not inherit one. The query did not run.
    #[error(
        "no session is current here: this is not inside of `binds.scope(..)`, and a task that was spawned in a scope is \
         part of it only if `scope.spawn(..)` started it"
    )]
    NoScope,

    /// The scope has ended together with its session: uncommitted changes are rolled back. The query did not run.
    #[error(
        "the scope of this session has ended; its uncommitted work is rolled back, and the call had no effect: join \
         tasks before the scope ends"
    )]
    ScopeEnded,

    /// The session of the scope is in use elsewhere. A query cannot run while the unit ends or is locked. The unit
    /// cannot end or be locked while a query, a stream or a raw connection is in use. Nothing was changed.
    #[error(
        "the session of the scope is in use by another part of it; nothing was changed: wait for that part first"
    )]
    SessionInUse,

    /// A unit that was run repeatedly failed each time ([`Binds::retrying`](crate::Binds::retrying)). The last error
    /// reports the outcome of the unit.
    #[error("the unit failed {attempts} times")]
    Retried {
        /// The number of runs.
        attempts: u32,
        /// The last error.
        source: Box<Error>,
    },

    /// The unit was not committed, or is in doubt.
    #[error(transparent)]
    Commit(#[from] CommitError),

    /// The binds are a [sandbox](crate::testing::Sandbox), and on the application's own binds the call would not have
    /// failed. Also the error of the sandbox itself, converted by `?` in a test.
    #[cfg(feature = "testing")]
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

impl Error {
    /// Returns the key of the affected bind, if there is one.
    #[must_use]
    pub fn bind(&self) -> Option<&str> {
        match self {
            Self::Query { bind, .. }
            | Self::StaleConnection { bind, .. }
            | Self::Begin { bind, .. }
            | Self::AfterBegin { bind, .. }
            | Self::Pool { bind, .. }
            | Self::DeadlineExceeded { bind, .. }
            | Self::AbortOnly { bind, .. }
            | Self::BindBusy { bind }
            | Self::InsideHook { bind }
            | Self::WithoutEffect { bind }
            | Self::UnknownBind { bind }
            | Self::NoOuterConnection { bind }
            | Self::OuterConnectionClosed { bind }
            | Self::UnknownSource { bind }
            | Self::ReadOnly { bind }
            | Self::Unsupported { bind, .. }
            | Self::Tables { bind, .. }
            | Self::NotAtomic { second: bind, .. }
            | Self::Closed { bind }
            | Self::NoRuntime { bind } => Some(bind),
            Self::InsideUnit => None,
            Self::Retried { source, .. } => source.bind(),
            Self::Commit(error) => error.bind(),
            #[cfg(feature = "testing")]
            Self::Sandbox(error) => error.bind(),
            Self::NoScope | Self::ScopeEnded | Self::SessionInUse => None,
        }
    }

    /// Returns whether the unit may be committed now or later. Do not repeat it before you know the outcome.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        match self {
            Self::Commit(error) => error.is_in_doubt(),
            Self::Retried { source, .. } => source.is_in_doubt(),
            _ => false,
        }
    }

    /// Returns whether the unit has ended and nothing of it is kept on any bind. The error of a query ends no unit: it
    /// is still open.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        match self {
            Self::Commit(error) => error.is_rolled_back(),
            Self::Retried { source, .. } => source.is_rolled_back(),
            _ => false,
        }
    }

    /// Returns whether the cause is a conflict with another unit, or a stale connection, so that the unit may succeed if
    /// it runs again from its begin. [`Binds::retrying`](crate::Binds::retrying) runs a unit again after these errors.
    ///
    /// The error of a query ends no unit: roll it back first. An error after which the unit may be committed is never
    /// retryable.
    ///
    /// Sends nothing to a server, so the error alone is examined. These cases are `false`, although `retrying` runs the
    /// unit again:
    ///
    /// - a conflict on MySQL or MariaDB whose message is not in English (`lc_messages`);
    /// - an error that follows from an earlier conflict, such as that of a query in an aborted transaction.
    ///
    /// # Example
    ///
    /// ```
    /// use diesel_binds::Error;
    ///
    /// fn advice(error: &Error) -> &'static str {
    ///     match error.is_retryable() {
    ///         true => "run the unit again",
    ///         false => "report the error",
    ///     }
    /// }
    /// ```
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::StaleConnection { .. } => true,
            Self::Query { source, .. }
            | Self::Begin { source, .. }
            | Self::AfterBegin { source, .. } => is_conflict(source),
            Self::Commit(error) => error.is_retryable(),
            Self::Retried { source, .. } => source.is_retryable(),
            _ => false,
        }
    }

    /// Returns the kind of the error of a database: of a query, or of a commit that a constraint refused.
    ///
    /// # Example
    ///
    /// ```
    /// use diesel::result::DatabaseErrorKind;
    /// use diesel_binds::Error;
    ///
    /// fn is_taken(error: &Error) -> bool {
    ///     matches!(error.kind(), Some(DatabaseErrorKind::UniqueViolation))
    /// }
    /// ```
    #[must_use]
    pub fn kind(&self) -> Option<&diesel::result::DatabaseErrorKind> {
        match self.diesel()? {
            diesel::result::Error::DatabaseError(kind, _) => Some(kind),
            _ => None,
        }
    }

    /// Returns Diesel's error, if a query failed or a database refused to commit.
    #[must_use]
    pub fn diesel(&self) -> Option<&diesel::result::Error> {
        match self {
            Self::Query { source, .. }
            | Self::StaleConnection { source, .. }
            | Self::Begin { source, .. }
            | Self::AfterBegin { source, .. } => Some(source),
            Self::Commit(error) => error.diesel(),
            #[cfg(feature = "testing")]
            Self::Sandbox(SandboxError::Lost { source, .. }) => source.as_ref(),
            Self::Retried { source, .. } => source.diesel(),
            _ => None,
        }
    }
}

/// `optional()` for the results of a session.
pub trait OptionalExt<T> {
    /// Turns "no row" into `None`.
    ///
    /// # Errors
    ///
    /// Every other error is returned unchanged.
    fn optional(self) -> Result<Option<T>, Error>;
}

impl<T> OptionalExt<T> for Result<T, Error> {
    fn optional(self) -> Result<Option<T>, Error> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(Error::Query {
                source: diesel::result::Error::NotFound,
                ..
            }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
