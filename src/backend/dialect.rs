//! The port to a connection: the operations that a unit of work needs, which each adapter implements.

use std::future::Future;
#[cfg(feature = "testing")]
use std::sync::Arc;

use diesel::QueryResult;
use diesel_async::AsyncConnection;
use futures_util::future::BoxFuture;

use crate::backend::{
    Backend, Clock, Lineage, ListedBranch, LoneCommitFault, PriorState, RecordRow, SavepointStep,
    Server, Staleness, Terms, TransactionId, TransactionState, Unseen, sql, stale,
};
#[cfg(feature = "testing")]
use crate::backend::{Enclosed, NotEnclosed};
use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// A connection that a bind may have: `AsyncPgConnection`, `AsyncMysqlConnection` or `AsyncSqliteConnection`, each
/// with the feature of its backend.
///
/// This trait is sealed.
pub trait Connection: Dialect {}

impl<C: Dialect> Connection for C {}

/// A function that opens a connection by a URL.
pub(crate) type Open<C> =
    dyn for<'a> Fn(&'a str) -> BoxFuture<'a, diesel::ConnectionResult<C>> + Send + Sync;

/// The operations of a unit of work on a connection. Sealed: [`Connection`] is the name for users.
///
/// Every future may be dropped. The connection is then unfit for anything but [`cancel`](Dialect::cancel) and
/// [`retire`](Dialect::retire).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that a bind can have",
    label = "not a connection of a bind",
    note = "use `AsyncPgConnection`, `AsyncMysqlConnection` or `diesel_binds::AsyncSqliteConnection`, and turn on its backend in the features of diesel-binds: `postgres`, `mysql`, `sqlite` or `sqlite-bundled`"
)]
pub trait Dialect: AsyncConnection + Sized + 'static {
    /// The kind of server.
    const BACKEND: Backend;

    /// The SQL expressions for the clock of the server.
    const CLOCK: Clock;

    /// `true` if the driver notices a closed connection while no statement runs.
    const NOTICES_CLOSE: bool;

    /// `true` if an error may end the transaction, after which later statements commit by themselves.
    const ERRORS_END_TRANSACTIONS: bool = false;

    /// Texts of errors about the connection and not about the statement. A text that ends in a star is a prefix.
    const STALE: &'static [&'static str];

    /// Returns whether no statement of a message can still run once its error was read, even if the session has ended.
    /// Behind a proxy this is not certain, because the proxy may have lost the server.
    fn errors_are_final(_: &Server) -> bool {
        false
    }

    /// Judges by an error of a statement whether its connection can be used again.
    fn staleness(error: &diesel::result::Error, terms: &Terms) -> Staleness {
        stale::staleness(error, Self::STALE, &terms.server.session)
    }

    /// Reads the properties of the server. Call it outside of a transaction.
    fn inspect(&mut self) -> impl Future<Output = QueryResult<Server>> + Send;

    /// Returns remarks for an operator. Call it outside of a transaction. Takes no lock, and waits for none.
    fn remarks(&mut self) -> impl Future<Output = QueryResult<Vec<String>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Begins the transaction of a unit, and leaves the marker in it.
    fn begin(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<PriorState>> + Send;

    /// Begins a unit as a savepoint in a transaction that Diesel has begun, and leaves the marker in it.
    fn begin_within_outer(
        &mut self,
        terms: &Terms,
    ) -> impl Future<Output = QueryResult<PriorState>> + Send;

    /// Makes sure that the savepoint of a unit within an outer transaction could be released. In a sandbox, also checks
    /// that nothing would prevent a commit.
    fn releasable(&mut self, _: &Terms) -> impl Future<Output = Result<(), Fault>> + Send {
        // An aborted transaction accepts no statement, and an ended one accepts no savepoint.
        async {
            let asked = async {
                self.savepoint(SavepointStep::Set, 0).await?;
                self.savepoint(SavepointStep::Release, 0).await
            };
            asked.await.map_err(Fault::Refused)
        }
    }

    /// Uses up the marker and releases the savepoint of a unit within an outer transaction. Rolls back to the savepoint
    /// if the unit is read-only.
    fn release(&mut self, terms: &Terms) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Carries out one step of a savepoint of the session.
    fn savepoint(
        &mut self,
        step: SavepointStep,
        depth: usize,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Returns whether statements after a transaction that the application has ended commit by themselves.
    fn autocommits(_: &Terms) -> bool {
        true
    }

    /// Reads the rest of the reply to the previous statement. Sends no statement, which would replace the answers about
    /// that of the application. An error is that of the previous statement.
    fn drain(&mut self) -> impl Future<Output = QueryResult<()>> + Send {
        async { Ok(()) }
    }

    /// Checks the state of the connection after the application had access to it.
    ///
    /// Keeps, as far as the backend can, the answers to questions of the application about its own last statement.
    fn verify(
        &mut self,
        terms: &Terms,
    ) -> impl Future<Output = Result<TransactionState, Fault>> + Send;

    /// Returns a number that no other connection has, if the transaction of a unit has no marker of its own. Call it
    /// before the application gets the connection, which it may replace by another one.
    fn assign_connection_number(
        &mut self,
    ) -> impl Future<Output = QueryResult<Option<i64>>> + Send {
        async { Ok(None) }
    }

    /// Returns the number that [`assign_connection_number`](Self::assign_connection_number) gave the connection, if it
    /// did.
    fn connection_number(&mut self) -> impl Future<Output = QueryResult<Option<i64>>> + Send {
        async { Ok(None) }
    }

    /// Lets the driver process the messages that have arrived, if it reads while no statement runs. Waits for no
    /// message, and only lets other tasks run.
    fn read_pending(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Returns why the connection is closed, if the driver has noticed that it is. Messages written afterwards reach no
    /// server. Sends nothing.
    fn closed(&mut self) -> impl Future<Output = Option<diesel::result::Error>> + Send {
        async { None }
    }

    /// Makes sure that the connection still replies, in any state of its transaction.
    fn ping(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<()>> + Send;

    /// Asks whether the transaction wrote.
    fn ask(&mut self, terms: &Terms) -> impl Future<Output = Result<Asked, Fault>> + Send;

    /// Makes sure that the server may join a unit of several writers with its current settings. It must not forget
    /// commits, and its commits must wait for a standby or replica where that is required. Returns whether they do.
    /// SQLite is checked when its id is read.
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

    /// Returns whether an error reports a conflict that aborted the transaction, as far as its content shows.
    fn is_conflict(error: &diesel::result::Error) -> bool;

    /// Returns whether the error of the statement that just failed here is a conflict. The connection may know more
    /// than the error shows.
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

    /// Uses up the marker and commits the only writer. Returns when the server was started, if that was in the reply.
    fn commit(
        &mut self,
        terms: &Terms,
    ) -> impl Future<Output = Result<Option<i64>, LoneCommitFault>> + Send;

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

    /// Rolls the transaction back, in any state, and leaves the connection clean.
    ///
    /// If the transaction may have ended unseen, its marker must be there: [`Fault::TransactionEnded`] if it is not,
    /// and [`Fault::TransactionMaybeEnded`] if that cannot be found out.
    fn rollback(
        &mut self,
        terms: &Terms,
        unseen: Unseen,
    ) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Removes session state that statements of the application may have left on the connection. Call it outside of a
    /// transaction.
    ///
    /// Returns whether the connection is like a fresh one of its pool. If not, it must be closed.
    fn clean(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<bool>> + Send;

    /// Makes every pool throw the connection away.
    fn retire(&mut self) -> impl Future<Output = ()> + Send;

    /// Returns a way to stop the running statement without this connection.
    fn cancel(&mut self) -> Option<BoxFuture<'static, ()>>;

    /// Readies a fresh connection for recovery: short waits, durable commits.
    fn recovery_settings(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Commits an empty transaction, and waits until the server confirms it like any other commit. Everything that this
    /// connection saw before precedes it. So a standby that the confirmation waits for has all of that as well. Call it
    /// on a fresh connection.
    ///
    /// May wait for as long as a standby is away; may be cancelled.
    fn barrier(&mut self, schema: &str) -> impl Future<Output = QueryResult<()>> + Send {
        let _ = schema;
        async { Ok(()) }
    }

    /// Records that an operator decides the unit in the place of its holder, which has forgotten it. Returns the
    /// outcome if the holder still has it. Call it on a fresh connection of the holder.
    fn force_on_holder(
        &mut self,
        schema: &str,
        gid: &Gid,
    ) -> impl Future<Output = Result<Option<Outcome>, Fault>> + Send {
        async move {
            let row = sql::forced_row(schema, gid);
            self.insert_fence(row).await.map_err(Fault::Lost)?;
            match self.recorded(schema, gid).await {
                Err(Fault::Forced) => Ok(None),
                Ok(Some(outcome)) => Ok(Some(outcome)),
                Ok(None) => Err(Fault::Lost(diesel::result::Error::NotFound)),
                Err(fault) => Err(fault),
            }
        }
    }

    /// Inserts a fence for a unit, unless there is a row of it: waits for a decision in flight, and excludes a late
    /// one. Call it on a fresh connection of the holder.
    fn insert_fence(&mut self, row: String) -> impl Future<Output = QueryResult<()>> + Send;

    /// Returns the property that shows that the server is a replica, if it is one: its lists may differ from those of
    /// its primary. Call it on a fresh connection of a participant, before its lists are used.
    fn replica(&mut self) -> impl Future<Output = QueryResult<Option<&'static str>>> + Send {
        async { Ok(None) }
    }

    /// Returns whether the branch is prepared and unfinished. Call it on a fresh connection of the participant.
    fn is_listed(&mut self, branch: &Branch) -> impl Future<Output = QueryResult<bool>> + Send;

    /// Finishes a prepared branch of another connection. Call it on a fresh connection of the participant.
    fn finish_listed(
        &mut self,
        branch: &Branch,
        outcome: Outcome,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Returns the branches of our namespace that the server lists as prepared, and those of others in our database.
    /// Call it on a fresh connection.
    fn branches(
        &mut self,
        namespace: &str,
    ) -> impl Future<Output = QueryResult<Vec<ListedBranch>>> + Send;

    /// Returns the outcome of the unit, if the holder has recorded one. Call it on a fresh connection of the holder.
    fn recorded(
        &mut self,
        schema: &str,
        gid: &Gid,
    ) -> impl Future<Output = Result<Option<Outcome>, Fault>> + Send;

    /// Returns the id of the database. Call it on a fresh connection.
    fn database_id(
        &mut self,
        schema: &str,
    ) -> impl Future<Output = Result<DatabaseId, Fault>> + Send;

    /// Loads records.
    fn load_records(
        &mut self,
        query: String,
    ) -> impl Future<Output = QueryResult<Vec<RecordRow>>> + Send;

    /// Runs one statement, and returns how many rows it changed.
    fn execute_durably(
        &mut self,
        statement: String,
    ) -> impl Future<Output = QueryResult<usize>> + Send;

    /// Returns the outcome that an operator has forced on a unit with a branch here. Call it on a fresh connection of
    /// the participant.
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

    /// Deletes the rows that branches of our namespace have inserted about themselves, if they are committed and
    /// finished. Returns the number of deleted rows.
    fn delete_branch_rows(
        &mut self,
        schema: &str,
        namespace: &str,
    ) -> impl Future<Output = QueryResult<usize>> + Send {
        let _ = (schema, namespace);
        async { Ok(0) }
    }

    /// Returns the lineage of the server, which distinguishes it from its copies and promoted standbys.
    fn lineage(&mut self) -> impl Future<Output = QueryResult<Option<Lineage>>> + Send {
        async { Ok(None) }
    }

    /// Returns the fate of a transaction by its id. `None` if the server does not know it (yet), or did not assign the
    /// id. `persistent_id` identifies that server across restarts.
    fn fate(
        &mut self,
        transaction: TransactionId,
        persistent_id: Option<&str>,
    ) -> impl Future<Output = QueryResult<Option<Outcome>>> + Send {
        let _ = (transaction, persistent_id);
        async { Ok(None) }
    }

    /// Makes a connection that never commits anything: in a transaction that cannot commit, or on a copy.
    #[cfg(feature = "testing")]
    fn enclose(
        self,
        terms: &Terms,
        open: Option<Arc<Open<Self>>>,
    ) -> impl Future<Output = Result<Enclosed<Self>, NotEnclosed>> + Send;

    /// Ends the enclosure. Fails if any change may have been committed.
    #[cfg(feature = "testing")]
    fn end_enclosure(&mut self, terms: &Terms) -> impl Future<Output = Result<(), Fault>> + Send;

    /// Lets the database keep its id after a move or copy, or gives it another one. Call it on a fresh connection.
    fn adopt(
        &mut self,
        schema: &str,
        id: Option<DatabaseId>,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        let update =
            id.map(|id| format!("UPDATE {schema}diesel_binds_meta SET holder_id = '{id}'"));
        async move {
            match update {
                Some(update) => self.execute_durably(update).await.map(drop),
                None => Ok(()),
            }
        }
    }

    /// Returns whether the tables of the protocol are there although the role may not use them.
    fn denies_tables(&mut self, schema: &str) -> impl Future<Output = QueryResult<bool>> + Send {
        let _ = schema;
        async { Ok(false) }
    }

    /// Creates the tables of the protocol where they are missing. Call it outside of a transaction.
    fn install(&mut self) -> impl Future<Output = QueryResult<()>> + Send;
}

/// A connection that runs the insert `Q` of several rows by itself, because diesel-async does not.
pub trait InsertRows<Q>: Dialect {
    /// Inserts all of the rows, or none.
    fn insert_rows(&mut self, insert: Q) -> impl Future<Output = QueryResult<usize>> + Send;
}
