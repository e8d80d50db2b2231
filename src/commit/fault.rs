//! The failures of one step of a commit on one participant.

use diesel_binds_derive::ErrorDebug;

#[cfg(feature = "testing")]
use crate::commit::sandbox_error::SandboxError;
use crate::gid::InvalidGid;

/// The reason why a step of the commit failed on one bind.
///
/// The source of a [`CommitError`](crate::CommitError), which states the outcome for the data.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The server refused the step and keeps nothing of the transaction.
    ///
    /// For example: a constraint or serialization failure at the commit, no free slot for a prepared transaction, or an
    /// earlier error that the application ignored.
    #[error("the server refused to commit the transaction")]
    Refused(#[source] diesel::result::Error),

    /// The transaction of the unit was gone: a `COMMIT` or `ROLLBACK` of your own on the raw connection ended it, or
    /// the server did.
    #[error("the transaction of the unit was ended by another statement")]
    TransactionEnded(#[source] diesel::result::Error),

    /// A statement in text, a hook or the raw connection may have ended the transaction of the unit. No reply confirms
    /// that the roll-back ran in that transaction.
    #[error(
        "a statement in text, a hook or the raw connection may have ended the transaction of the unit, and nothing confirms \
         that it did not"
    )]
    TransactionMaybeEnded,

    /// A hook vetoed the commit of a unit whose roll-back is not certain
    /// ([`before_commit`](crate::Session::before_commit)).
    #[error("the hook registered at {registered_at} vetoed the commit")]
    Vetoed {
        /// The place where the hook was registered.
        registered_at: &'static std::panic::Location<'static>,
        /// The error of the hook.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// The connection was lost before the reply was read.
    #[error("the connection was lost before the reply was read")]
    Lost(#[source] diesel::result::Error),

    /// The connection was lost before the step reached the server, which has not carried out any of it.
    #[error("the connection was lost before the step reached the server")]
    Unreached(#[source] diesel::result::Error),

    /// The server did not reply in time.
    #[error("the server did not reply within the time for one step of a commit")]
    TimedOut,

    /// The tables of the commit protocol are not in the database, or the role of the connection may not use them. The
    /// source says which, in the server's own words.
    #[error(
        "the tables of diesel-binds are missing, or this role may not use them: run their migration or `binds.install()`, or \
         grant the role the privileges in docs/compatibility.md"
    )]
    NotInstalled(#[source] diesel::result::Error),

    /// The tables of the commit protocol belong to another version.
    #[error(
        "the tables of diesel-binds have version {found}, and this library needs version {expected}: use the version \
         of the library that made them"
    )]
    OtherVersion {
        /// The version in the database.
        found: i32,
        /// The version that this library supports.
        expected: i32,
    },

    /// A table of the commit protocol cannot keep the promise of a commit. A row could be missing, exist twice, or
    /// outlive the work that it stands for.
    #[error("the table `{table}` cannot guarantee the outcome of a commit: {reason}; {remedy}")]
    UnfitTable {
        /// The table.
        table: Box<str>,
        /// The defect of the table.
        reason: Box<str>,
        /// The remedy.
        remedy: &'static str,
    },

    /// The file was copied, restored, or moved to another file system since its id was recorded (SQLite). Another file
    /// may have that id, and decide the same units.
    #[error(
        "the file was copied, restored or moved since its id was recorded, and another may have that id: give a copy one of \
         its own (`binds.renew_identity(..)`, `diesel-binds identity BIND --new`), or say that the other is gone \
         (`binds.keep_identity(..)`, `diesel-binds identity BIND --keep`)"
    )]
    Copied,

    /// Two databases of a unit have one id: one is a copy of the other.
    #[error(
        "`{with}` is another database and has the same id: one is a copy of the other; give the copy an id of its own \
         (`binds.renew_identity(..)`, `diesel-binds identity BIND --new`)"
    )]
    SameIdentity {
        /// The bind of the other database.
        with: &'static str,
    },

    /// The role of the connection may not write the records that its units need.
    #[error("the role of the connection has no {privilege} on `{table}`: grant it")]
    Denied {
        /// The table.
        table: Box<str>,
        /// The privilege.
        privilege: Box<str>,
    },

    /// The id in `diesel_binds_meta` cannot be read.
    #[error("`diesel_binds_meta` holds no id of a database")]
    InvalidId(#[source] InvalidGid),

    /// The database has another id than before, or is on another server, like a copy or a standby that was promoted.
    #[error(
        "the database has another id, or is on another server, than before: it was replaced, or the URL leads to \
         another one"
    )]
    Replaced,

    /// The address of the bind leads to another server than the one that this process has used, with the same id of the
    /// database: a copy, a restored backup, or a standby without all commits. Its records may lack a decision, so
    /// recovery asks it nothing, and units stay in doubt.
    #[error(
        "the address leads to another server with the id of the one that this process has used ({sign}), and it may be a \
         copy that lacks decisions: lead the address back, or, if this server has all commits and the other one is gone \
         for good, say so (`binds.keep_identity(..)`) or restart this process"
    )]
    OtherServer {
        /// The difference between the servers.
        sign: &'static str,
    },

    /// The server is a replica, or takes no writes: whether a branch is prepared can only be asked of its primary.
    #[error(
        "the server is a replica or takes no writes ({sign}): correct the URL, or wait until it takes writes"
    )]
    Replica {
        /// The setting or status that shows it.
        sign: &'static str,
    },

    /// The server shows an outcome that it does not confirm as durable. The synchronous standby or semi-synchronous
    /// replica that its commits wait for is away. If the server is lost now, the outcome may change.
    #[error(
        "the server did not confirm that the outcome is durable, because it waits for a standby or replica: bring \
         that back"
    )]
    Unconfirmed,

    /// The server refused a statement of recovery, which changed nothing.
    #[error("the server refused a statement")]
    Statement(#[source] diesel::result::Error),

    /// The records of units as old as this one may have been deleted, so the outcome of the unit cannot be determined.
    #[error(
        "the records of units as old as this one were deleted, so its outcome cannot be determined: finish it by hand \
         or by force"
    )]
    Forgotten,

    /// The unit was refused before anything was prepared, because it is older than the records that its holder keeps.
    /// If this process died during the commit, the outcome could not be determined. Run the unit again, as a new one.
    #[error(
        "the unit is older than the records that the database keeps: it was open for too long, its session was asked for \
         its id long before, or a clock is wrong"
    )]
    OutlivedRecords,

    /// An operator has decided the unit in the place of this database, which keeps nothing of it. The table
    /// `diesel_binds_forced` of its other databases says how it ended.
    #[error(
        "an operator has forced the unit: this database keeps nothing of it; `diesel_binds_forced` of the other \
         databases has the outcome there"
    )]
    Forced,

    /// A crash of the server may lose a confirmed commit.
    #[error(
        "the database may lose a confirmed commit in a crash ({setting}): it may not join a unit of several writers"
    )]
    NotDurable {
        /// The setting that causes this.
        setting: String,
    },

    /// The bind requires that commits wait for a standby or replica, and they wait for none
    /// ([`BindOptions::require_synchronous_replication`](crate::BindOptions::require_synchronous_replication)).
    #[error(
        "commits of the database wait for no standby or replica (`synchronous_standby_names`, semi-synchronous \
         replication), as its bind demands: it may not join a unit of several writers"
    )]
    NotReplicated,

    /// The transaction changed a non-transactional table. That change stays.
    #[error(
        "a table without transactions (MyISAM, Aria) or a temporary table was changed in the unit: that change stays"
    )]
    NonTransactional(#[source] diesel::result::Error),

    /// A statement, savepoint or begin of the unit did not complete: it was dropped, or failed in between.
    #[error("a statement was dropped before it completed")]
    Incomplete,

    /// A statement of the unit was requested, and its pool gave no connection or its transaction could not begin.
    #[error("a statement of the unit could not begin")]
    NotBegun,

    /// `PRAGMA foreign_keys` was set on the raw connection (SQLite), and has no effect within a transaction.
    #[error(
        "`PRAGMA foreign_keys` has no effect within a transaction: set it where the connection is opened \
         (`Source::setup`)"
    )]
    WithoutEffect,

    /// The raw connection was left inside a nested transaction.
    #[error("a nested transaction was left open on the raw connection")]
    NestedTransaction,

    /// Nested work of the unit failed ([`Propagation::Join`](crate::Propagation::Join)).
    #[error("nested work of the unit failed")]
    NestedWorkFailed,

    /// A hook before the commit was dropped, or panicked, before it returned.
    #[error("a hook before the commit was dropped or panicked")]
    Hook,

    /// The session, or its raw connection, was lent to the application, and another one was put in its place.
    #[error("the session or connection that was lent was replaced by another one; do not swap it")]
    Exchanged,

    /// The unit belongs to another application. Only that application can read its outcome and write a fence for it.
    #[error(
        "the unit belongs to the application `{namespace}`: make the call in a process of that application"
    )]
    ForeignNamespace {
        /// The namespace of that application.
        namespace: String,
    },

    /// The bind is not one of this process.
    #[error("this process has no bind of that key")]
    UnknownBind,

    /// The binds are a [sandbox](crate::testing::Sandbox), which has ended, or for which the call has no meaning.
    #[cfg(feature = "testing")]
    #[error(transparent)]
    Sandbox(Box<SandboxError>),

    /// The pool or the server gave no connection to ask for the outcome.
    #[error("no connection could be opened")]
    Connect(#[source] Box<dyn std::error::Error + Send + Sync>),

    /// The deadline of the unit had passed before the commit began.
    #[error("the deadline of the unit passed before the commit began")]
    DeadlineExceeded,

    /// A hook before the commit had not completed at the deadline of the unit. The hook was dropped.
    #[error("the hook registered at {registered_at} had not completed at the deadline of the unit")]
    HookTimedOut {
        /// The place where the hook was registered.
        registered_at: &'static std::panic::Location<'static>,
    },
}

impl Fault {
    /// Returns the name of the fault for traces, without any text of a server.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Refused(_) => "Refused",
            Self::TransactionEnded(_) => "TransactionEnded",
            Self::TransactionMaybeEnded => "TransactionMaybeEnded",
            Self::Vetoed { .. } => "Vetoed",
            Self::Lost(_) => "Lost",
            Self::Unreached(_) => "Unreached",
            Self::TimedOut => "TimedOut",
            Self::NotInstalled(_) => "NotInstalled",
            Self::OtherVersion { .. } => "OtherVersion",
            Self::UnfitTable { .. } => "UnfitTable",
            Self::Denied { .. } => "Denied",
            Self::Copied => "Copied",
            Self::SameIdentity { .. } => "SameIdentity",
            Self::InvalidId(_) => "InvalidId",
            Self::Replaced => "Replaced",
            Self::OtherServer { .. } => "OtherServer",
            Self::Replica { .. } => "Replica",
            Self::Forgotten => "Forgotten",
            Self::OutlivedRecords => "OutlivedRecords",
            Self::Forced => "Forced",
            Self::Unconfirmed => "Unconfirmed",
            Self::Statement(_) => "Statement",
            Self::NotDurable { .. } => "NotDurable",
            Self::NotReplicated => "NotReplicated",
            Self::NonTransactional(_) => "NonTransactional",
            Self::Incomplete => "Incomplete",
            Self::NotBegun => "NotBegun",
            Self::NestedTransaction => "NestedTransaction",
            Self::WithoutEffect => "WithoutEffect",
            Self::ForeignNamespace { .. } => "ForeignNamespace",
            Self::UnknownBind => "UnknownBind",
            Self::Connect(_) => "Connect",
            Self::DeadlineExceeded => "DeadlineExceeded",
            Self::HookTimedOut { .. } => "HookTimedOut",
            Self::NestedWorkFailed => "NestedWorkFailed",
            Self::Hook => "Hook",
            Self::Exchanged => "Exchanged",
            #[cfg(feature = "testing")]
            Self::Sandbox(_) => "Sandbox",
        }
    }
}

#[cfg(feature = "testing")]
impl From<SandboxError> for Fault {
    fn from(error: SandboxError) -> Self {
        Self::Sandbox(Box::new(error))
    }
}
