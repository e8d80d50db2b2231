//! The port to one database server, and an adapter for each: the only place that knows a dialect.
//!
//! [`Dialect`] is what a unit of work needs of a connection: begin with a marker, prepare, decide, finish, and the
//! questions of recovery. `observe` makes spans of its statements. `sql` and `records` hold what all share; `postgres`,
//! `mysql` and `sqlite` what differs; every call to an API that Diesel hides from its documentation is in `internals`.
//!
//! The adapters have the same files. `inspect` asks what a server is. `begin`, `probe` and `end` follow the transaction
//! of a unit, and `join` a unit that is a savepoint. `prepared` finds and finishes branches, `records` is about what a
//! holder keeps, `retry` knows the errors that may not come again.

mod found;
pub(crate) mod internals;
#[cfg(feature = "migrations")]
pub(crate) mod migrate;
mod observe;
pub(crate) mod records;
#[cfg(feature = "testing")]
mod sandbox;
mod server;
mod settings;
mod sql;
mod terms;

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::future::Future;
#[cfg(feature = "testing")]
use std::sync::Arc;

use diesel::QueryResult;
use diesel_async::AsyncConnection;
use futures_util::future::BoxFuture;

use crate::commit::{Asked, Decision, Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

pub(crate) use self::found::{Found, Reach};
#[cfg(feature = "testing")]
pub(crate) use self::observe::log;
pub(crate) use self::observe::observe;
pub(crate) use self::records::{Clock, RecordRow};
#[cfg(feature = "testing")]
pub(crate) use self::sandbox::{Enclosed, NotEnclosed, PrivateCopy, Reopen};
pub use self::server::Backend;
pub(crate) use self::server::Server;
pub use self::settings::Isolation;
pub(crate) use self::settings::{Settings, Unsupported};
pub(crate) use self::sql::is_of_our_tables;
pub(crate) use self::terms::{AloneFault, Attached, Begun, SavepointStep, Terms};

/// A connection that a bind may have: `AsyncPgConnection`, `AsyncMysqlConnection` or `AsyncSqliteConnection`, each
/// with the feature of its backend.
///
/// This trait is sealed.
pub trait Connection: Dialect {}

impl<C: Dialect> Connection for C {}

/// Opens a connection by a URL.
pub(crate) type Open<C> =
    dyn for<'a> Fn(&'a str) -> BoxFuture<'a, diesel::ConnectionResult<C>> + Send + Sync;

/// What a unit of work needs of a connection. Sealed: [`Connection`] is the name for users.
///
/// Every future may be dropped; the connection is then unfit for anything but [`cancel`](Dialect::cancel) and
/// [`retire`](Dialect::retire).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that a bind can have",
    label = "not a connection of a bind",
    note = "use `AsyncPgConnection`, `AsyncMysqlConnection` or `diesel_binds::AsyncSqliteConnection`, and turn on its backend in the features of diesel-binds: `postgres`, `mysql`, `sqlite` or `sqlite-bundled`"
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

    /// Makes sure that the savepoint of a unit that has joined could be released. In a sandbox, also that nothing is in
    /// the way of a commit.
    fn releasable(&mut self, _: &Terms) -> impl Future<Output = Result<(), Fault>> + Send {
        // An aborted transaction takes no statement, and one that has ended no savepoint.
        async {
            let asked = async {
                self.savepoint(SavepointStep::Set, 0).await?;
                self.savepoint(SavepointStep::Release, 0).await
            };
            asked.await.map_err(Fault::Refused)
        }
    }

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

    /// What says that the server is a replica, if it is one: what it lists is not what its primary has. On a fresh
    /// connection of a participant, before its lists are believed.
    fn replica(&mut self) -> impl Future<Output = QueryResult<Option<&'static str>>> + Send {
        async { Ok(None) }
    }

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

    /// Makes a connection of which nothing is ever kept: in a transaction that cannot commit, or on a copy.
    #[cfg(feature = "testing")]
    fn enclose(
        self,
        terms: &Terms,
        open: Option<Arc<Open<Self>>>,
    ) -> impl Future<Output = Result<Enclosed<Self>, NotEnclosed>> + Send;

    /// Ends that. Fails if anything may have been kept all the same.
    #[cfg(feature = "testing")]
    fn leave(&mut self, terms: &Terms) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Creates the tables of the protocol where they are missing. Outside of a transaction.
    fn install(&mut self) -> impl Future<Output = QueryResult<()>> + Send;
}

/// A connection that runs the insert `Q` of several rows by itself, because diesel-async does not.
pub trait InsertRows<Q>: Dialect {
    /// Inserts all of the rows, or none.
    fn insert_rows(&mut self, insert: Q) -> impl Future<Output = QueryResult<usize>> + Send;
}
