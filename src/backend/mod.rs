//! The port to one database server, and an adapter for each: the only place that knows a dialect.
//!
//! [`Dialect`] is what a unit of work needs of a connection: begin with a marker, prepare, decide, finish, and the
//! questions of recovery. `observe` makes spans of its statements. `sql` and `records` hold what all share; `postgres`,
//! `mysql` and `sqlite` what differs; every call to an API that Diesel hides from its documentation is in `internals`.
//!
//! The adapters have the same files. `inspect` asks what a server is. `begin`, `probe` and `end` follow the transaction
//! of a unit, and `join` a unit that is a savepoint; `clean` makes the connection fit for others. `tables` asks whether
//! our tables can keep what is promised. `prepared` finds and finishes branches, `records` is about what a
//! holder keeps, `retry` knows the errors that may not come again.

// Files, each of which imports only from those before it: `found`, `migrate`, `server`, `protocol_migration`,
// `settings`, `stale`, `terms`, `internals`, `observe`, `sandbox`, `sql`, `tables`, `records`, `mysql`, `postgres`,
// `sqlite`.

mod found;
pub(crate) mod internals;
#[cfg(feature = "migrations")]
pub(crate) mod migrate;
mod observe;
mod protocol_migration;
pub(crate) mod records;
#[cfg(feature = "testing")]
mod sandbox;
mod server;
mod settings;
mod sql;
mod stale;
mod tables;
mod terms;

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

use std::future::Future;
#[cfg(feature = "testing")]
use std::sync::Arc;

use diesel::QueryResult;
use diesel_async::AsyncConnection;
use futures_util::future::BoxFuture;

use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

pub(crate) use self::found::{Found, Reach};
#[cfg(feature = "testing")]
pub(crate) use self::observe::log;
pub(crate) use self::observe::{observe, watch};
pub use self::protocol_migration::ProtocolMigration;
pub(crate) use self::records::{Clock, RecordRow};
#[cfg(feature = "testing")]
pub(crate) use self::sandbox::{Enclosed, NotEnclosed, PrivateCopy, Reopen};
pub use self::server::Backend;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use self::server::Durability;
pub(crate) use self::server::{Lineage, Server, SessionDefaults, Whose};
pub use self::settings::Isolation;
pub(crate) use self::settings::{Settings, Unsupported};
pub(crate) use self::sql::fence_row;
pub(crate) use self::stale::Staleness;
pub(crate) use self::tables::is_of_our_tables;
pub(crate) use self::terms::{
    AloneFault, Attached, Begun, SavepointStep, Standing, Terms, TransactionId, Unseen,
};

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

    /// The driver hears of a connection that the server has closed while no statement runs.
    const HEARS: bool;

    /// Whether an error may end the transaction such that later statements commit by themselves.
    const ERRORS_END_TRANSACTIONS: bool = false;

    /// Texts of errors that speak of the connection and not of the statement. One with a star at its end begins so.
    const STALE: &'static [&'static str];

    /// Returns whether nothing of a message runs any more after its error was read, also where the session has ended. No
    /// proxy knows that of a server that it has lost.
    fn errors_are_final(_: &Server) -> bool {
        false
    }

    /// Judges by an error of a statement whether its connection can be used again.
    fn staleness(error: &diesel::result::Error, terms: &Terms) -> Staleness {
        stale::staleness(error, Self::STALE, &terms.server.session)
    }

    /// Asks the server about itself. Outside of a transaction.
    fn inspect(&mut self) -> impl Future<Output = QueryResult<Server>> + Send;

    /// Returns remarks for an operator. Outside of a transaction; locks nothing, and waits for no lock.
    fn remarks(&mut self) -> impl Future<Output = QueryResult<Vec<String>>> + Send {
        async { Ok(Vec::new()) }
    }

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

    /// Tells whether statements after a transaction that the application has ended commit by themselves.
    fn autocommits(_: &Terms) -> bool {
        true
    }

    /// Reads what is left of the reply to the statement before, without a statement of its own: what the application
    /// asks next is about its own statement. An error is that of the statement before.
    fn drain(&mut self) -> impl Future<Output = QueryResult<()>> + Send {
        async { Ok(()) }
    }

    /// Finds out whether the connection is still where we left it, after the application had it in its hands.
    ///
    /// The answers to what the application may ask next about its own statement stay, as far as the backend can.
    fn verify(&mut self, terms: &Terms) -> impl Future<Output = Result<Standing, Fault>> + Send;

    /// A number that no other connection has, where the transaction of a unit has no marker of its own. To be asked before
    /// the application has the connection in its hands, which may put another one in its place.
    fn mark(&mut self) -> impl Future<Output = QueryResult<Option<i64>>> + Send {
        async { Ok(None) }
    }

    /// The number that [`mark`](Self::mark) gave the connection, if it did.
    fn marked(&mut self) -> impl Future<Output = QueryResult<Option<i64>>> + Send {
        async { Ok(None) }
    }

    /// Lets the driver hear of what has arrived by now, where it reads while no statement runs. Waits for nothing but other
    /// tasks.
    fn hear(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Why the connection is closed, if the driver has heard that it is. What is written afterwards reaches no server. Sends
    /// nothing.
    fn closed(&mut self) -> impl Future<Output = Option<diesel::result::Error>> + Send {
        async { None }
    }

    /// Makes sure that the connection still replies, whatever state its transaction is in.
    fn answer(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<()>> + Send;

    /// Asks whether the transaction wrote.
    fn ask(&mut self, terms: &Terms) -> impl Future<Output = Result<Asked, Fault>> + Send;

    /// Makes sure that the server may join a unit of several writers, as it is set up now: it forgets nothing, and its
    /// commits wait for a standby or replica where they must. Returns whether they do. SQLite is asked with its id.
    fn durable(
        &mut self,
        terms: &Terms,
    ) -> impl Future<Output = Result<Option<bool>, Fault>> + Send {
        let _ = terms;
        async { Ok(None) }
    }

    /// Reads the id of the database, and makes sure that it may join a unit of several writers.
    fn identify(&mut self, terms: &Terms)
    -> impl Future<Output = Result<Identified, Fault>> + Send;

    /// Whether an error says that the transaction was given up for the sake of others, as far as the error tells.
    fn is_conflict(error: &diesel::result::Error) -> bool;

    /// The same for the statement that just failed on this connection, which may know more.
    fn met_conflict(&mut self, error: &diesel::result::Error) -> impl Future<Output = bool> + Send {
        let is_conflict = Self::is_conflict(error);
        async move { is_conflict }
    }

    /// Texts of errors that speak of the connection and not of the statement. One with a star at its end begins so.
    /// Uses up the marker and prepares.
    fn prepare(
        &mut self,
        terms: &Terms,
        branch: &Branch,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Uses up the marker and commits: nobody else wrote. Returns when the server was started, if that was in the reply.
    fn commit(
        &mut self,
        terms: &Terms,
    ) -> impl Future<Output = Result<Option<i64>, AloneFault>> + Send;

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
    ///
    /// Where something may have ended it unseen, its marker must be there: [`Fault::Ended`] if it is not, and
    /// [`Fault::Uncertain`] if nothing tells.
    fn rollback(
        &mut self,
        terms: &Terms,
        unseen: Unseen,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Takes from the connection what statements of the application may have left there. Outside of a transaction.
    ///
    /// Returns whether it is as a fresh one of its pool; if not, it must be closed.
    fn clean(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<bool>> + Send;

    /// Makes every pool throw the connection away.
    fn retire(&mut self) -> impl Future<Output = ()> + Send;

    /// A way to stop the statement that runs, without this connection.
    fn cancel(&mut self) -> Option<BoxFuture<'static, ()>>;

    /// Readies a fresh connection for recovery: short waits, durable commits.
    fn recovery_settings(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Commits a transaction of its own that keeps nothing, and waits until the server confirms it as it confirms any.
    /// What this connection saw before lies before it, so a standby that the confirmation waits for has that as well. On a
    /// fresh connection.
    ///
    /// May wait for as long as a standby is away; may be cancelled.
    fn barrier(&mut self, schema: &str) -> impl Future<Output = QueryResult<()>> + Send {
        let _ = schema;
        async { Ok(()) }
    }

    /// Records that an operator decides the unit in the place of its holder, which has forgotten it. Returns the outcome
    /// if the holder has it after all. On a fresh connection of the holder.
    fn give_over(
        &mut self,
        schema: &str,
        gid: &Gid,
    ) -> impl Future<Output = Result<Option<Outcome>, Fault>> + Send {
        async move {
            let row = sql::forced_row(schema, gid);
            self.keep_out(row).await.map_err(Fault::Lost)?;
            match self.recorded(schema, gid).await {
                Err(Fault::Forced) => Ok(None),
                Ok(Some(outcome)) => Ok(Some(outcome)),
                Ok(None) => Err(Fault::Lost(diesel::result::Error::NotFound)),
                Err(fault) => Err(fault),
            }
        }
    }

    /// Inserts a row about a unit, unless there is one: waits for a decision in flight, and excludes a late one. On a
    /// fresh connection of the holder.
    fn keep_out(&mut self, row: String) -> impl Future<Output = QueryResult<()>> + Send;

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

    /// Which server this is, of all that come from one.
    fn lineage(&mut self) -> impl Future<Output = QueryResult<Option<Lineage>>> + Send {
        async { Ok(None) }
    }

    /// The fate of a transaction by its id: `None` where the server cannot tell (yet), or is not the one that gave the
    /// id. `mark` is what that one keeps when it is started again.
    fn fate(
        &mut self,
        transaction: TransactionId,
        mark: Option<&str>,
    ) -> impl Future<Output = QueryResult<Option<Outcome>>> + Send {
        let _ = (transaction, mark);
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

    /// Lets the database keep its id wherever it is by now, or gives it another one. On a fresh connection.
    fn adopt(
        &mut self,
        schema: &str,
        id: Option<DatabaseId>,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        let update =
            id.map(|id| format!("UPDATE {schema}diesel_binds_meta SET holder_id = '{id}'"));
        async move {
            match update {
                Some(update) => self.change(update).await.map(drop),
                None => Ok(()),
            }
        }
    }

    /// Creates the tables of the protocol where they are missing. Outside of a transaction.
    fn install(&mut self) -> impl Future<Output = QueryResult<()>> + Send;
}

/// A connection that runs the insert `Q` of several rows by itself, because diesel-async does not.
pub trait InsertRows<Q>: Dialect {
    /// Inserts all of the rows, or none.
    fn insert_rows(&mut self, insert: Q) -> impl Future<Output = QueryResult<usize>> + Send;
}
