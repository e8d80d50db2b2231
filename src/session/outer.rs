//! Outer connections: a session works within a transaction that its caller has begun, and each unit is a savepoint in
//! it.

use std::any::Any;
use std::fmt;
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::backend::Connection;
use crate::bind::Bind;
use crate::error::{Error, PoolError};
use crate::pool::Pooled;
use crate::registry::Registry;

/// A connection with an open transaction of your own, which sessions can work within
/// ([`SessionOptions::within`](crate::SessionOptions::within)).
///
/// Clones are cheap and share the connection. While a unit is open on it, [`lock`](Self::lock) waits.
pub struct OuterConnection<C> {
    connection: Arc<Mutex<C>>,
}

impl<C: Connection> OuterConnection<C> {
    /// Wraps a connection on which Diesel has begun a transaction, by `begin_test_transaction` or by
    /// `AnsiTransactionManager::begin_transaction`.
    pub fn new(connection: C) -> Self {
        Self {
            connection: Arc::new(Mutex::new(connection)),
        }
    }

    /// Returns the connection as soon as no unit is open on it.
    ///
    /// A task that has the connection must not run queries of a session within it. The task and the query would wait
    /// for each other until the checkout timeout of the pool.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; a place in the queue is lost.
    pub async fn lock(&self) -> impl DerefMut<Target = C> + Send + '_ {
        self.connection.lock().await
    }

    /// Returns the connection, if this is the last handle and no unit is open on it.
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

/// A bind whose units are within an outer transaction.
#[derive(Clone)]
pub(super) struct OuterBind {
    /// The function that returns the position of the bind in the registry.
    pub(super) position: fn(&Registry) -> Result<usize, Error>,
    /// The outer connection, as a mutex of the connection type of the bind.
    connection: Arc<dyn Any + Send + Sync>,
}

impl OuterBind {
    pub(super) fn of<B: Bind>(outer: &OuterConnection<B::Connection>) -> Self {
        Self {
            position: Registry::position::<B>,
            connection: Arc::<Mutex<B::Connection>>::clone(&outer.connection),
        }
    }

    /// Returns the connection as soon as no other unit is open on it, within `limit`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; a place in the queue is lost.
    pub(super) async fn checkout<C: Connection>(
        &self,
        limit: Duration,
    ) -> Result<Box<dyn Pooled<C>>, PoolError> {
        let connection = Arc::clone(&self.connection)
            .downcast::<Mutex<C>>()
            .expect("a bind has an outer connection of its own type");
        match timeout(limit, connection.lock_owned()).await {
            Ok(connection) => Ok(Box::new(Outer { connection })),
            Err(_) => Err(PoolError::TimedOut(limit)),
        }
    }
}

impl fmt::Debug for OuterBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuterBind").finish_non_exhaustive()
    }
}

/// An outer connection while a unit uses it.
struct Outer<C> {
    connection: OwnedMutexGuard<C>,
}

impl<C: Connection> Pooled<C> for Outer<C> {
    fn connection(&mut self) -> &mut C {
        &mut self.connection
    }

    /// Does nothing: the connection belongs to the caller. By now, Diesel calls it broken and refuses its statements.
    fn close(self: Box<Self>) {}
}
