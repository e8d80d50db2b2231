//! The terms of one transaction of a unit on one bind, and its state.

use std::sync::Arc;
use std::time::Duration;

#[cfg(any(feature = "mysql", feature = "postgres"))]
use crate::backend::Durability;
#[cfg(any(feature = "mysql", feature = "postgres"))]
use crate::backend::message::{Part, display_parts, sql};
use crate::backend::{Server, Settings};
use crate::commit::Fault;
use crate::gid::UnitId;

/// The properties of one transaction of a unit on one bind that stay the same until it ends.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The key of the bind.
    pub bind: &'static str,
    /// The namespace of the application, empty if nothing is ever prepared.
    pub namespace: Arc<str>,
    /// The unit that the transaction belongs to.
    pub unit: UnitId,
    /// `true` if the transaction is read-only.
    pub read_only: bool,
    /// `true` if the unit is a savepoint in an outer transaction.
    pub within_outer: bool,
    /// `true` if the outer transaction never commits. The checks of its commit run when the savepoint is released.
    pub sandboxed: bool,
    /// The settings of the transaction.
    pub settings: Settings,
    /// `true` if the transaction begins in a way that allows a later prepare.
    pub two_phase: bool,
    /// `true` if the bind may record a decision: other binds write in its units, or it records every commit.
    pub may_record: bool,
    /// `true` if the transaction begins with a comment that identifies its unit.
    pub tagged: bool,
    /// `true` if the server counts the rows that a reader writes.
    pub verify_reads: bool,
    /// The number of open savepoints of the session, to be set at the begin.
    pub savepoints: usize,
    /// The limit for waiting for a lock, if the connection has no limit of its own.
    pub lock_timeout: Duration,
    /// The limit for the idle time of the transaction, if the connection has no limit of its own.
    pub idle_timeout: Duration,
    /// The time left until the deadline of the unit, which also bounds a limit of the connection's own.
    pub time_left: Option<Duration>,
    /// `true` if a database that may lose confirmed commits in a crash may join a unit of several writers.
    pub allow_not_durable: bool,
    /// `true` if commits must wait for a standby or replica.
    pub require_replication: bool,
    /// The properties that the server reported of itself.
    pub server: Arc<Server>,
    /// Files that are attached to the connection (SQLite).
    pub attached: Arc<[Attached]>,
    /// The value that [`begin`](crate::backend::UnitDialect::begin) returned.
    pub prior: PriorState,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl Terms {
    /// Returns the name of the transaction, which no other unit and no other bind of the unit has.
    pub(super) fn marker(&self) -> MarkerValue {
        MarkerValue {
            unit: self.unit,
            bind: self.bind,
        }
    }

    /// Refuses a server that may lose a confirmed commit, or that does not replicate although it must. Returns whether
    /// commits wait for a standby or replica.
    pub(super) fn accept(&self, durability: Durability) -> Result<Option<bool>, Fault> {
        let Durability {
            not_durable,
            replicated,
        } = durability;
        match not_durable {
            Some(setting) if !self.allow_not_durable => Err(Fault::NotDurable { setting }),
            _ if self.require_replication && replicated != Some(true) => Err(Fault::NotReplicated),
            _ => Ok(replicated),
        }
    }
}

/// The value of the marker of a transaction, written as `<unit>:<bind>`.
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(super) struct MarkerValue {
    unit: UnitId,
    bind: &'static str,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl Part for MarkerValue {
    fn append_to(&self, message: &mut String) {
        sql! { message; self.unit, ":", self.bind }
    }
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
display_parts!(MarkerValue);

/// The state of the connection before the begin, which the end needs.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriorState {
    /// Diesel's transaction depth in the outer transaction.
    pub depth: u32,
    /// The connection's count of changes before the begin, which covers its whole life (SQLite).
    pub written: i64,
    /// `true` if the connection had `synchronous = FULL` before, and has `EXTRA` until the end (SQLite).
    pub synchronous: bool,
    /// The limit for waiting for locks that the connection had before, if it has another one until the end (SQLite).
    pub busy_timeout: Option<i64>,
    /// `true` if the connection was read-only before (SQLite).
    pub query_only: bool,
    /// The files that were not attached before, a bit for each in their order (SQLite).
    pub attached: u128,
}

/// A SQLite file that is attached under the key of its bind.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The key of the bind, and the schema name of the file.
    pub key: &'static str,
    /// The file.
    pub path: String,
}

/// Statements that may have ended the transaction of a unit unseen, since its marker was last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unseen {
    /// None: a typed query cannot end the transaction.
    #[default]
    Nothing,
    /// Statements in text, each alone in its message.
    Text,
    /// The raw connection or a hook, with messages of any number of statements.
    Anything,
    /// Any statements, in a transaction that is now aborted, so that its marker cannot be read (PostgreSQL).
    Hidden,
}

/// The state in which a connection was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionState {
    /// In the transaction with the marker of the unit.
    Marked,
    /// In a transaction whose marker can be checked only at its end.
    Open,
    /// In an aborted transaction, which keeps nothing.
    Aborted,
}

/// A step of a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavepointStep {
    /// Sets the savepoint.
    Set,
    /// Releases the savepoint, and keeps the changes since.
    Release,
    /// Undoes the changes since, and removes the savepoint.
    RollBack,
}

/// The error of the commit of a lone writer.
#[derive(Debug)]
pub struct LoneCommitFault {
    /// The cause.
    pub fault: Fault,
    /// The id of the transaction, by which the server reports its fate later (PostgreSQL).
    pub transaction: Option<TransactionId>,
}

impl From<Fault> for LoneCommitFault {
    fn from(fault: Fault) -> Self {
        Self {
            fault,
            transaction: None,
        }
    }
}

/// The id of a transaction. Other servers have given the same id to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId {
    pub id: i64,
    /// The start time of the server that gave the id.
    pub started: i64,
}
