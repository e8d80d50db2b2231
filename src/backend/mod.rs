//! The port to one database server, and an adapter for each: the only place that knows a dialect.
//!
//! [`Dialect`] is what a unit of work needs of a connection: begin with a marker, prepare, decide, finish, and the
//! questions of recovery. `observe` makes spans of its statements. `sql` and `records` hold what all share; `postgres`,
//! `mysql` and `sqlite` what differs; every call to an API that Diesel hides from its documentation is in `internals`.

pub(crate) mod internals;
#[cfg(feature = "migrations")]
pub(crate) mod migrate;
mod observe;
pub(crate) mod records;
mod settings;
mod sql;

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use diesel::QueryResult;
use diesel_async::AsyncConnection;
use futures_util::future::BoxFuture;

use crate::commit::{Asked, Decision, Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};
use crate::trace::Place;

pub(crate) use self::observe::observe;
pub(crate) use self::records::{Clock, RecordRow};
pub use self::settings::Isolation;
pub(crate) use self::settings::{Settings, Unsupported};
pub(crate) use self::sql::is_of_our_tables;

/// A connection that a bind may have: `AsyncPgConnection`, `AsyncMysqlConnection` or `AsyncSqliteConnection`, each
/// with the feature of its backend.
///
/// This trait is sealed.
pub trait Connection: Dialect {}

impl<C: Dialect> Connection for C {}

/// A kind of database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL/MariaDB",
            Self::Sqlite => "SQLite",
        })
    }
}

/// What a server said of itself: asked once per bind and process.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// What it is, in the words of OpenTelemetry's `db.system.name`.
    pub system: &'static str,
    /// The name of the database.
    pub database: String,
    /// Its version, as it says it.
    pub version: String,
    /// Where the tables of the protocol are, as a prefix that ends in a dot.
    pub schema: String,
    /// Why no transaction can be prepared here, if so.
    pub cannot_prepare: Option<String>,
    /// How many prepared transactions fit, where that is limited.
    pub prepared_slots: Option<u32>,
    /// The setting that makes a confirmed commit forgettable, if any.
    pub not_durable: Option<String>,
    /// What tells this database from others of its kind, without our tables.
    pub identity: String,
    /// What an operator may want to know.
    pub remarks: Vec<String>,
}

impl Server {
    /// A server that nobody asked.
    pub(crate) fn unasked(backend: Backend) -> Self {
        let system = match backend {
            Backend::Postgres => "postgresql",
            Backend::Mysql => "mysql",
            Backend::Sqlite => "sqlite",
        };
        Self {
            system,
            ..Self::default()
        }
    }

    /// What observers are told of where a bind is.
    pub(crate) fn place(&self, bind: &'static str) -> Place<'_> {
        Place {
            bind,
            system: self.system,
            database: &self.database,
        }
    }
}

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
    /// What [`begin`](Dialect::begin) returned.
    pub begun: Begun,
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

/// A branch of a unit of this library that a server lists as prepared.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name, as the server lists it.
    pub name: String,
    /// The application that it belongs to.
    pub namespace: String,
    /// Its unit.
    pub unit: UnitId,
    /// The key of its bind.
    pub bind: String,
    /// What it is, if something says who holds its decision.
    pub branch: Option<Branch>,
    /// How long it has been prepared, if the server says so.
    pub age: Option<Duration>,
    /// Whether it can be finished from here.
    pub reach: Reach,
}

/// Whether a branch can be finished on the connection that found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It can.
    Here,
    /// Only in another database of the server (PostgreSQL).
    OtherDatabase(String),
    /// Only by another role (PostgreSQL).
    OtherRole(String),
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

/// What a unit of work needs of a connection. Sealed: [`Connection`] is the name for users.
///
/// Every future may be dropped; the connection is then unfit for anything but [`cancel`](Dialect::cancel) and
/// [`retire`](Dialect::retire).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that a bind can have",
    label = "not a connection of a bind",
    note = "use `AsyncPgConnection`, `AsyncMysqlConnection` or `diesel_binds::AsyncSqliteConnection`, and turn on the feature of its backend"
)]
pub trait Dialect: AsyncConnection + Sized + 'static {
    /// The kind of server.
    const BACKEND: Backend;

    /// Its clock.
    const CLOCK: Clock;

    /// Whether an error may end the transaction such that later statements commit by themselves.
    const ERRORS_END_TRANSACTIONS: bool = false;

    /// Asks the server about itself. Outside of a transaction.
    fn inspect(&mut self) -> impl Future<Output = QueryResult<Server>> + Send;

    /// Begins the transaction of a unit, and leaves the marker in it.
    fn begin(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<Begun>> + Send;

    /// Begins a unit as a savepoint in a transaction that Diesel has begun, and leaves the marker in it.
    fn join(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<Begun>> + Send;

    /// Uses up the marker and releases the savepoint of a unit that has joined; goes back to it if it only read.
    fn release(&mut self, terms: &Terms) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Carries out one step of a savepoint of the session.
    fn savepoint(
        &mut self,
        step: SavepointStep,
        depth: usize,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Finds out whether the connection is still where we left it, after the application had it in its hands.
    fn verify(&mut self, terms: &Terms) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Makes sure that the connection still replies, whatever state its transaction is in.
    fn answer(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<()>> + Send;

    /// Asks whether the transaction wrote.
    fn ask(&mut self, terms: &Terms) -> impl Future<Output = Result<Asked, Fault>> + Send;

    /// Reads the id of the database, and makes sure that it may join a unit of several writers.
    fn identify(&mut self, terms: &Terms)
    -> impl Future<Output = Result<DatabaseId, Fault>> + Send;

    /// Whether an error says that the transaction was given up for the sake of others, as far as the error tells.
    fn is_conflict(error: &diesel::result::Error) -> bool;

    /// The same for the statement that just failed on this connection, which may know more.
    fn met_conflict(&mut self, error: &diesel::result::Error) -> impl Future<Output = bool> + Send {
        let is_conflict = Self::is_conflict(error);
        async move { is_conflict }
    }

    /// Uses up the marker and prepares.
    fn prepare(
        &mut self,
        terms: &Terms,
        branch: &Branch,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Uses up the marker and commits: nobody else wrote.
    fn commit(&mut self, terms: &Terms) -> impl Future<Output = Result<(), AloneFault>> + Send;

    /// Uses up the marker, records the decision and commits both, in one message.
    fn decide(
        &mut self,
        terms: &Terms,
        decision: &Decision,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Finishes the prepared transaction of this connection.
    fn finish(
        &mut self,
        terms: &Terms,
        branch: &Branch,
        outcome: Outcome,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Rolls the transaction back, in whatever state it is, and leaves the connection clean.
    fn rollback(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<()>> + Send;

    /// Makes every pool throw the connection away.
    fn retire(&mut self) -> impl Future<Output = ()> + Send;

    /// A way to stop the statement that runs, without this connection.
    fn cancel(&mut self) -> Option<BoxFuture<'static, ()>>;

    /// Readies a fresh connection for recovery: short waits, durable commits.
    fn recovery_settings(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Excludes a late decision, then reads the outcome. On a fresh connection of the holder.
    fn fence(
        &mut self,
        schema: &str,
        gid: &Gid,
    ) -> impl Future<Output = Result<Outcome, Fault>> + Send {
        async move {
            // What is recorded stays so. Asking first, a holder that nobody can write to just now still answers.
            if let Some(outcome) = self.recorded(schema, gid).await? {
                return Ok(outcome);
            }
            self.keep_out(schema, gid).await.map_err(Fault::Lost)?;
            let outcome = self.recorded(schema, gid).await?;
            outcome.ok_or(Fault::Lost(diesel::result::Error::NotFound))
        }
    }

    /// Records that the unit is rolled back, unless it is recorded how it ended: waits for a decision in flight, and
    /// excludes a late one. On a fresh connection of the holder.
    fn keep_out(&mut self, schema: &str, gid: &Gid)
    -> impl Future<Output = QueryResult<()>> + Send;

    /// Whether the branch is prepared and unfinished. On a fresh connection of the participant.
    fn lists(&mut self, branch: &Branch) -> impl Future<Output = QueryResult<bool>> + Send;

    /// Finishes a prepared branch of another connection. On a fresh connection of the participant.
    fn finish_listed(
        &mut self,
        branch: &Branch,
        outcome: Outcome,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// The branches of our namespace that the server lists as prepared, and those of others in our database. On a fresh
    /// connection.
    fn branches(&mut self, namespace: &str)
    -> impl Future<Output = QueryResult<Vec<Found>>> + Send;

    /// How the unit ended, as far as the holder has recorded. On a fresh connection of the holder.
    fn recorded(
        &mut self,
        schema: &str,
        gid: &Gid,
    ) -> impl Future<Output = Result<Option<Outcome>, Fault>> + Send;

    /// The id of the database. On a fresh connection.
    fn identity(&mut self, schema: &str) -> impl Future<Output = Result<DatabaseId, Fault>> + Send;

    /// Loads records.
    fn records(
        &mut self,
        query: String,
    ) -> impl Future<Output = QueryResult<Vec<RecordRow>>> + Send;

    /// Runs one statement, and returns how many rows it changed.
    fn change(&mut self, statement: String) -> impl Future<Output = QueryResult<usize>> + Send;

    /// The outcome that an operator has forced on a unit with a branch here. On a fresh connection of the participant.
    fn forced(
        &mut self,
        schema: &str,
        unit: UnitId,
    ) -> impl Future<Output = QueryResult<Option<Outcome>>> + Send;

    /// Records that an operator forces an outcome on a unit with a branch here, unless one is recorded.
    fn record_force(
        &mut self,
        schema: &str,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Deletes the rows that branches of our namespace have inserted about themselves, where they are committed and
    /// finished. Returns how many there were.
    fn delete_branch_rows(
        &mut self,
        schema: &str,
        namespace: &str,
    ) -> impl Future<Output = QueryResult<usize>> + Send {
        let _ = (schema, namespace);
        async { Ok(0) }
    }

    /// The fate of a transaction by its id: `None` where the server cannot tell (yet).
    fn fate(
        &mut self,
        transaction: i64,
    ) -> impl Future<Output = QueryResult<Option<Outcome>>> + Send {
        let _ = transaction;
        async { Ok(None) }
    }

    /// Creates the tables of the protocol where they are missing. Outside of a transaction.
    fn install(&mut self) -> impl Future<Output = QueryResult<()>> + Send;
}

/// A connection that runs the insert `Q` of several rows by itself, because diesel-async does not.
pub trait InsertRows<Q>: Dialect {
    /// Inserts all of the rows, or none.
    fn insert_rows(&mut self, insert: Q) -> impl Future<Output = QueryResult<usize>> + Send;
}
