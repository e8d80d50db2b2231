//! The transaction of a unit, from its begin to its end.

use std::future::Future;

use diesel::QueryResult;
use diesel_async::AsyncConnection;

use crate::backend::{LoneCommitFault, PriorState, SavepointStep, Terms, TransactionState, Unseen};
use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::Branch;

/// The operations on the transaction of a unit: begin with a marker, verify, prepare, decide, finish, roll back.
pub trait UnitDialect: AsyncConnection + Sized + 'static {
    /// Begins the transaction of a unit, and leaves the marker in it.
    fn begin(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<PriorState>> + Send;

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

    /// Returns whether an error may end the transaction, after which later statements commit by themselves.
    fn errors_end_transaction(_: &Terms) -> bool {
        false
    }

    /// Checks the state of the connection after the application had access to it.
    ///
    /// Keeps, as far as the backend can, the answers to questions of the application about its own last statement.
    fn verify(
        &mut self,
        terms: &Terms,
    ) -> impl Future<Output = Result<TransactionState, Fault>> + Send;

    /// Returns whether [`ask`](Self::ask) can find out that the transaction wrote nothing. `trusts_reads` is the option
    /// not to ask.
    fn can_ask(_: &Terms, trusts_reads: bool) -> bool {
        !trusts_reads
    }

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

    /// Returns whether it is certain that the server has rolled the transaction back by itself, if its marker is missing
    /// although no statement of the application can have ended it.
    fn was_rolled_back(&mut self, terms: &Terms) -> impl Future<Output = bool> + Send {
        let _ = terms;
        async { false }
    }

    /// Rolls the transaction back, in any state, and leaves the connection clean.
    ///
    /// If the transaction may have ended unseen, its marker must be there: [`Fault::TransactionEnded`] if it is not,
    /// and [`Fault::TransactionMaybeEnded`] if that cannot be found out. [`Fault::NonTransactional`] if the server says
    /// that a changed table stays changed.
    fn rollback(
        &mut self,
        terms: &Terms,
        unseen: Unseen,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}
