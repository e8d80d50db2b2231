//! What can go wrong in one step of a commit on one participant.

use diesel_binds_derive::ErrorDebug;

use crate::gid::InvalidGid;

/// Why a step of the commit did not work on one bind.
///
/// The source of a [`CommitError`](crate::CommitError): that one says what happened to the data.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The server refused the step and keeps nothing of the transaction.
    ///
    /// A constraint or serialization failure that it checks at the commit, no slot left for a prepared transaction,
    /// or an earlier SQL error that the application swallowed.
    #[error("the server refused to commit the transaction")]
    Refused(#[source] diesel::result::Error),

    /// The transaction of the unit was gone: a `COMMIT` or `ROLLBACK` of your own on the raw connection ended it, or
    /// the server did.
    #[error("the transaction of the unit was ended by another statement")]
    Ended(#[source] diesel::result::Error),

    /// The connection was lost before the reply was read.
    #[error("the connection was lost before the reply was read")]
    Lost(#[source] diesel::result::Error),

    /// The server did not reply in time.
    #[error("the server did not reply within the time for one step of a commit")]
    TimedOut,

    /// The tables of the commit protocol are not in the database.
    #[error("the tables of diesel-binds are missing: run their migration, or `binds.install()`")]
    NotInstalled(#[source] diesel::result::Error),

    /// The tables of the commit protocol belong to another version.
    #[error("`diesel_binds_meta` says version {found}, this library writes version {expected}")]
    Foreign {
        /// The version in the database.
        found: i32,
        /// The version that this library knows.
        expected: i32,
    },

    /// The id in `diesel_binds_meta` cannot be read.
    #[error("`diesel_binds_meta` holds no id of a database")]
    ForeignId(#[source] InvalidGid),

    /// The database is not the one that it was: its id changed.
    #[error("the database has another id than the unit noted: it was replaced")]
    Replaced,

    /// The server is a replica, or takes no writes: whether a branch is prepared can only be asked of its primary.
    #[error(
        "the server is a replica or takes no writes ({sign}): correct the URL, or wait until it does"
    )]
    Replica {
        /// What says so.
        sign: &'static str,
    },

    /// The server refused a statement of recovery, which changed nothing.
    #[error("the server refused a statement")]
    Statement(#[source] diesel::result::Error),

    /// What the database recorded of units as old as this one may have been deleted: how it ended cannot be told.
    #[error("records of units as old as this one were deleted: nobody knows how it ended")]
    Forgotten,

    /// A crash of the server may lose what it confirmed as committed.
    #[error(
        "the database may lose a confirmed commit in a crash ({setting}): it may not join a unit of several writers"
    )]
    NotDurable {
        /// The setting that makes it so.
        setting: String,
    },

    /// The transaction changed a table of an engine without transactions. That change stays.
    #[error(
        "a table without transactions (MyISAM, Aria) or a temporary table was changed in the unit: that change stays"
    )]
    NonTransactional(#[source] diesel::result::Error),

    /// A statement, savepoint or begin of the unit was dropped before it completed, or failed on its way.
    #[error("a statement was dropped before it completed")]
    Incomplete,

    /// The raw connection was left inside a nested transaction.
    #[error("a nested transaction was left open on the raw connection")]
    NestedTransaction,

    /// Work that had joined the unit failed ([`Propagation::Join`](crate::Propagation::Join)).
    #[error("work that had joined the unit failed")]
    Joined,

    /// A hook before the commit was dropped, or panicked, before it said yes.
    #[error("a hook before the commit did not come to its end")]
    Hook,

    /// The bind is not one of this process.
    #[error("this process has no bind of that key")]
    UnknownBind,

    /// It is a sandbox (`testing::Sandbox`), which leaves the real database alone: it has no commit that could fail as
    /// planned, no migrations, and nothing to recover.
    #[error(
        "this is a sandbox, which leaves the real database alone: call it on the application's own `Binds`"
    )]
    Sandbox,

    /// The sandbox (`testing::Sandbox`) had ended before the commit: nothing of it is kept, nor of the unit.
    #[error("the sandbox has ended, and nothing of it is kept: end it after its sessions")]
    SandboxEnded,

    /// The pool or the server gave no connection to ask for the outcome.
    #[error("no connection could be opened")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// The deadline of the unit had passed before the commit began.
    #[error("the deadline of the unit passed before the commit began")]
    DeadlineExceeded,
}

impl Fault {
    /// What the server said when it refused the step.
    pub(crate) fn refusal(&self) -> Option<&diesel::result::Error> {
        match self {
            Self::Refused(error) => Some(error),
            _ => None,
        }
    }

    /// A word for it in traces, without anything that a server said.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "Refused",
            Self::Ended(_) => "Ended",
            Self::Lost(_) => "Lost",
            Self::TimedOut => "TimedOut",
            Self::NotInstalled(_) => "NotInstalled",
            Self::Foreign { .. } => "Foreign",
            Self::ForeignId(_) => "ForeignId",
            Self::Replaced => "Replaced",
            Self::Replica { .. } => "Replica",
            Self::Forgotten => "Forgotten",
            Self::Statement(_) => "Statement",
            Self::NotDurable { .. } => "NotDurable",
            Self::NonTransactional(_) => "NonTransactional",
            Self::Incomplete => "Incomplete",
            Self::NestedTransaction => "NestedTransaction",
            Self::UnknownBind => "UnknownBind",
            Self::Connect(_) => "Connect",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::Joined => "Joined",
            Self::Hook => "Hook",
            Self::Sandbox => "Sandbox",
            Self::SandboxEnded => "SandboxEnded",
        }
    }
}
