//! What is fixed for one transaction of a unit on one bind, and what it went through.

#[cfg(any(feature = "mysql", feature = "postgres"))]
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

#[cfg(any(feature = "mysql", feature = "postgres"))]
use crate::backend::Durability;
use crate::backend::{Server, Settings};
use crate::commit::Fault;
use crate::gid::UnitId;

/// What is fixed for one transaction of a unit on one bind.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The key of the bind.
    pub bind: &'static str,
    /// The namespace of the application, empty where nothing is ever prepared.
    pub namespace: Arc<str>,
    /// The unit that the transaction belongs to.
    pub unit: UnitId,
    /// Nothing may be written.
    pub read_only: bool,
    /// It is a savepoint in a transaction of somebody else.
    pub joined: bool,
    /// That transaction never commits: what its commit would check is checked where the savepoint is released.
    pub sandboxed: bool,
    /// The application does something at its begin.
    pub hooked: bool,
    /// What else it is told.
    pub settings: Settings,
    /// The transaction begins such that it can be prepared.
    pub two_phase: bool,
    /// It begins with a comment that says what it is for.
    pub tagged: bool,
    /// Whether the server counts what a reader writes.
    pub verify_reads: bool,
    /// Open savepoints of the session, to be made at the begin.
    pub savepoints: usize,
    /// How long a statement waits for a lock, where the connection has no limit of its own.
    pub lock_timeout: Duration,
    /// How long the transaction may be idle, where the connection has no limit of its own.
    pub idle_timeout: Duration,
    /// What is left until the deadline of the unit, which bounds also a limit of the connection's own.
    pub time_left: Option<Duration>,
    /// Whether a crash-forgetful database may join a unit of several writers.
    pub allow_not_durable: bool,
    /// Whether its commits must wait for a standby or replica.
    pub require_replication: bool,
    /// What the server said of itself.
    pub server: Arc<Server>,
    /// Files that are attached to the connection (SQLite).
    pub attached: Arc<[Attached]>,
    /// What [`begin`](crate::backend::Dialect::begin) returned.
    pub begun: Begun,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl Terms {
    /// What names the transaction: no other unit, and no other bind of the unit, has the same.
    pub(super) fn marker(&self) -> MarkerValue {
        MarkerValue {
            unit: self.unit,
            bind: self.bind,
        }
    }

    /// Refuses a server that may forget what it confirmed, or that keeps it nowhere else although it must. Returns whether
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
impl fmt::Display for MarkerValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.unit.fmt(f)?;
        f.write_str(":")?;
        f.write_str(self.bind)
    }
}

/// What a begin found, for the end to know.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begun {
    /// How deep Diesel is in the transaction of somebody else that was joined.
    pub depth: u32,
    /// How much the connection had written before, where it counts for its whole life (SQLite).
    pub written: i64,
    /// The limit for waiting for locks that the connection had, where it has another one until the end (SQLite).
    pub busy_timeout: Option<i64>,
    /// The connection could only be read from before (SQLite).
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

/// What may have ended the transaction of a unit unseen, since its marker was last seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unseen {
    /// Nothing: a typed query cannot.
    #[default]
    Nothing,
    /// Statements in text, each alone in its message.
    Text,
    /// The raw connection or a hook, with messages of any number of statements.
    Anything,
    /// The same, and the transaction is an aborted one, which does not tell its marker (PostgreSQL).
    Hidden,
}

/// Where a connection was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the transaction with the marker of the unit.
    Marked,
    /// In a transaction whose marker only its end tells.
    Open,
    /// In an aborted transaction, which keeps nothing.
    Aborted,
}

/// A step of a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavepointStep {
    /// Make it.
    Set,
    /// Forget it, and keep what was done since.
    Release,
    /// Undo what was done since, and forget it.
    RollBack,
}

/// How the commit of a lone writer failed.
#[derive(Debug)]
pub struct AloneFault {
    /// Why.
    pub fault: Fault,
    /// The id of the transaction, by which the server tells its fate later (PostgreSQL).
    pub transaction: Option<TransactionId>,
}

/// The id of a transaction. Other servers have given the same to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransactionId {
    /// The id.
    pub id: i64,
    /// When the server that gave it was started.
    pub started: i64,
}
