//! Outer connections: a session works within a transaction that its caller has begun, and each unit is a savepoint in
//! it.

use std::any::Any;
use std::fmt;
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard, OwnedMutexGuard};
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
///
/// The connection is closed, and with it the transaction is undone, if a statement of a unit was dropped or passed its
/// deadline, or if the unit could not be undone. Otherwise its owner could read the reply of an earlier statement.
pub struct OuterConnection<C> {
    /// The connection, until it is closed.
    connection: Arc<Mutex<Option<C>>>,
}

impl<C: Connection> OuterConnection<C> {
    /// Wraps a connection on which Diesel has begun a transaction, by `begin_test_transaction` or by
    /// `AnsiTransactionManager::begin_transaction`.
    pub fn new(connection: C) -> Self {
        Self {
            connection: Arc::new(Mutex::new(Some(connection))),
        }
    }

    /// Returns the connection as soon as no unit is open on it. `None` if the connection was closed.
    ///
    /// A task that has the connection must not run queries of a session within it. The task and the query would wait
    /// for each other until the checkout timeout of the pool.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; a place in the queue is lost.
    pub async fn lock(&self) -> Option<impl DerefMut<Target = C> + Send + '_> {
        MutexGuard::try_map(self.connection.lock().await, Option::as_mut).ok()
    }

    /// Returns the connection, if this is the last handle, no unit is open on it, and it was not closed.
    #[must_use]
    pub fn into_inner(self) -> Option<C> {
        Arc::into_inner(self.connection).and_then(Mutex::into_inner)
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
            connection: Arc::<Mutex<Option<B::Connection>>>::clone(&outer.connection),
        }
    }

    /// Returns the connection as soon as no other unit is open on it, within `limit`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; a place in the queue is lost.
    pub(super) async fn checkout<C: Connection>(
        &self,
        bind: &'static str,
        limit: Duration,
    ) -> Result<Box<dyn Pooled<C>>, Error> {
        let connection = Arc::clone(&self.connection)
            .downcast::<Mutex<Option<C>>>()
            .expect("a bind has an outer connection of its own type");
        match timeout(limit, connection.lock_owned()).await {
            Ok(connection) if connection.is_none() => Err(Error::OuterConnectionClosed { bind }),
            Ok(connection) => Ok(Box::new(Outer { connection })),
            Err(_) => Err(Error::Pool {
                bind,
                source: PoolError::TimedOut(limit),
            }),
        }
    }
}

impl fmt::Debug for OuterBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OuterBind").finish_non_exhaustive()
    }
}

/// An outer connection while a unit uses it. The value is `None` after it was closed.
struct Outer<C> {
    connection: OwnedMutexGuard<Option<C>>,
}

impl<C: Connection> Pooled<C> for Outer<C> {
    fn connection(&mut self) -> &mut C {
        self.connection
            .as_mut()
            .expect("a closed connection is not checked out")
    }

    fn close(mut self: Box<Self>) {
        *self.connection = None;
    }
}
