//! Joining a connection on which the caller already has a transaction: a unit within it is a savepoint.

use std::any::Any;
use std::fmt;
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::time::timeout;

use crate::backend::{Backend, Connection, Server};
use crate::bind::Bind;
use crate::error::{Error, PoolError};
use crate::pool::Pooled;
use crate::registry::Entry;
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
    position: fn(&Core) -> Result<usize, Error>,
    /// A mutex around its connection.
    connection: Arc<dyn Any + Send + Sync>,
}

impl fmt::Debug for JoinedBind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinedBind").finish_non_exhaustive()
    }
}

impl Core {
    /// Whether nothing is committed at the end of a unit: it is in transactions of somebody else, or in a sandbox.
    pub(super) fn is_joined(&self) -> bool {
        self.joins_others() || self.registry.is_sandbox()
    }

    /// Whether the units of the session are in transactions of somebody else.
    pub(super) fn joins_others(&self) -> bool {
        !self.options.joined.is_empty()
    }

    /// What is known of the server before anybody asks. That of a joined connection may be another one than the pool's.
    pub(super) fn known_server<C: Connection>(&self, entry: &Entry<C>) -> Option<Arc<Server>> {
        if !self.joins_others() {
            return entry.known_server();
        }
        match C::BACKEND {
            // Whether it can tell that a transaction is open.
            Backend::Mysql => None,
            // Nothing is needed, and what fails on some hosts would abort a transaction of PostgreSQL.
            Backend::Postgres | Backend::Sqlite => Some(Arc::new(Server::unasked(C::BACKEND))),
        }
    }

    /// The connection that the entry at `position` joins.
    ///
    /// # Cancel safety
    ///
    /// As of waiting for a pool.
    pub(super) async fn joined<C: Connection>(
        &self,
        position: usize,
        bind: &'static str,
        limit: Duration,
    ) -> Result<Box<dyn Pooled<C>>, Error> {
        for joined in &self.options.joined {
            if (joined.position)(self)? != position {
                continue;
            }
            let connection = Arc::clone(&joined.connection)
                .downcast::<Mutex<C>>()
                .expect("a bind joins a connection of its own type");
            return match timeout(limit, connection.lock_owned()).await {
                Ok(connection) => Ok(Box::new(Outer { connection })),
                Err(_) => Err(Error::Pool {
                    bind,
                    source: PoolError::TimedOut(limit),
                }),
            };
        }
        Err(Error::NotJoined { bind })
    }
}

/// The connection of somebody else, while a unit has it.
struct Outer<C> {
    connection: OwnedMutexGuard<C>,
}

impl<C: Connection> Pooled<C> for Outer<C> {
    fn connection(&mut self) -> &mut C {
        &mut self.connection
    }

    /// It is not ours to close. Diesel calls it broken by now, and its owner will not get a statement through.
    fn close(self: Box<Self>) {}
}
