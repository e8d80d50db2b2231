//! What is fixed for one transaction of a unit on one bind, and what it went through.

use std::sync::Arc;
use std::time::Duration;

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
    /// What the server said of itself.
    pub server: Arc<Server>,
    /// Files that are attached to the connection (SQLite).
    pub attached: Arc<[Attached]>,
    /// What [`begin`](crate::backend::Dialect::begin) returned.
    pub begun: Begun,
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
impl Terms {
    /// Refuses a server that may forget what it confirmed, as it said of itself, unless it may join all the same.
    pub(super) fn refuse_not_durable(&self) -> Result<(), Fault> {
        match &self.server.not_durable {
            Some(setting) if !self.allow_not_durable => Err(Fault::NotDurable {
                setting: setting.clone(),
            }),
            _ => Ok(()),
        }
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
}

/// A SQLite file that is attached under the key of its bind.
#[derive(Clone, Debug)]
pub struct Attached {
    /// The key of the bind, and the schema name of the file.
    pub key: &'static str,
    /// The file.
    pub path: String,
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
    pub transaction: Option<i64>,
}
