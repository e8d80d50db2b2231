//! Joining a connection on which the caller already has a transaction: a unit within it is a savepoint.

use std::any::Any;
use std::fmt;
use std::ops::DerefMut;
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::backend::Connection;
use crate::bind::Bind;
use crate::error::Error;
use crate::pool::Pooled;
use crate::session::SessionOptions;
use crate::session::core::Core;

/// A connection with a transaction of your own, which sessions can join ([`SessionOptions::join`]).
///
/// Cheap to clone; all clones are one connection. While a unit is open on it, it waits for that in
/// [`lock`](Self::lock).
pub struct OuterConnection<C> {
    connection: Arc<Mutex<C>>,
}

impl<C: Connection> OuterConnection<C> {
    /// Takes a connection in which Diesel has begun a transaction: by `begin_test_transaction`, or by
    /// `AnsiTransactionManager::begin_transaction`.
    pub fn new(connection: C) -> Self {
        Self {
            connection: Arc::new(Mutex::new(connection)),
        }
    }

    /// The connection, as soon as no unit is open on it.
    ///
    /// A task that has it must not run queries of a session that joins it: they would wait for each other, until the pool's
    /// time is over.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; a place in the queue is lost.
    pub async fn lock(&self) -> impl DerefMut<Target = C> + Send + '_ {
        self.connection.lock().await
    }

    /// The connection, if this is the last handle and no unit is open on it.
    #[must_use]
    pub fn into_inner(self) -> Option<C> {
        Arc::into_inner(self.connection).map(Mutex::into_inner)
    }
}

impl<C> Clone for OuterConnection<C> {
    fn clone(&self) -> Self {
        Self {
            connection: Arc::clone(&self.connection),
        }
    }
}

impl<C> fmt::Debug for OuterConnection<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuterConnection").finish_non_exhaustive()
    }
}

impl SessionOptions {
    /// Joins a connection on which you already have a transaction, in the place of one of the pool: that of a test, or
    /// of a framework.
    ///
    /// Each unit of the session is a savepoint there. `commit_all` releases it, and says so:
    /// [`Committed::is_joined`](crate::Committed::is_joined). Your transaction is left alone, and decides what is kept;
    /// nobody is told of that, so no [`after_commit`](crate::Session::after_commit) runs. A roll-back goes back to the
    /// savepoint, and [`after_rollback`](crate::Session::after_rollback) runs. An error inside the unit undoes the unit;
    /// your transaction goes on, unless the server has ended it as a whole (a deadlock on MariaDB).
    ///
    /// A session that joins one connection has no others: a query on a bind that did not join any fails with
    /// [`Error::NotJoined`]. What would have to be told at the begin of the transaction is refused
    /// ([`Error::Unsupported`]): isolation, deferrable, timeouts of statements and locks. A read-only unit goes back to
    /// its savepoint in the end. What an [`after_begin`](crate::BindsBuilder::after_begin) hook sets lasts as long as your
    /// transaction. Units are not run again ([`Binds::retrying`](crate::Binds::retrying)): that is for whoever has the
    /// transaction. [`Propagation::New`](crate::Propagation::New) is refused inside a unit, and a unit of
    /// [`Propagation::Never`](crate::Propagation::Never) is as durable as your transaction.
    ///
    /// After a statement that is dropped half-way, or is running when the deadline comes, your connection is of no use any
    /// more, as in any unit: Diesel refuses it, and it is to be closed. Nobody has gone back to the savepoint then. So a unit
    /// that wrote ends with [`CommitError::TransactionEnded`](crate::CommitError::TransactionEnded), because a `COMMIT` in text
    /// would keep it.
    ///
    /// Binds that share a connection share what it joins.
    #[must_use]
    pub fn join<B: Bind>(mut self, _: B, connection: &OuterConnection<B::Connection>) -> Self {
        self.joined.push(JoinedBind {
            position: |core| core.registry.position::<B>(),
            connection: Arc::<Mutex<B::Connection>>::clone(&connection.connection),
        });
        self
    }
}

/// A bind whose units are in the transaction of somebody else.
#[derive(Clone)]
pub(crate) struct JoinedBind {
    /// Where it is in the order of the registry.
    pub(super) position: fn(&Core) -> Result<usize, Error>,
    /// A mutex around its connection.
    pub(super) connection: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for JoinedBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinedBind").finish_non_exhaustive()
    }
}

/// The connection of somebody else, while a unit has it.
pub(super) struct Outer<C> {
    pub(super) connection: OwnedMutexGuard<C>,
}

impl<C: Connection> Pooled<C> for Outer<C> {
    fn connection(&mut self) -> &mut C {
        &mut self.connection
    }

    /// It is not ours to close. Diesel calls it broken by now, and its owner will not get a statement through.
    fn close(self: Box<Self>) {}
}
