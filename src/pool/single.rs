//! A pool of one connection of its own, for a sandbox: one unit has it, and all others wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::backend::Reopen;
use crate::commit::SandboxError;
use crate::error::{BoxError, PoolError};
use crate::pool::port::{Pool, Pooled};

/// A pool of one connection. All clones are one pool.
pub(crate) struct SinglePool<C> {
    shared: Arc<Shared<C>>,
}

struct Shared<C> {
    /// The connection; `None` once it was closed.
    connection: Arc<Mutex<Option<C>>>,
    /// The function that opens another connection in the place of a closed one.
    reopen: Option<Reopen<C>>,
    over: AtomicBool,
    /// `true` if a unit had to close the connection, and no other can be opened.
    lost: AtomicBool,
}

impl<C: Send + 'static> SinglePool<C> {
    pub(crate) fn new(connection: C, reopen: Option<Reopen<C>>) -> Self {
        Self {
            shared: Arc::new(Shared {
                connection: Arc::new(Mutex::new(Some(connection))),
                reopen,
                over: AtomicBool::new(false),
                lost: AtomicBool::new(false),
            }),
        }
    }

    /// Takes the connection as soon as no unit has it. `None` if it was closed.
    pub(crate) async fn take(&self) -> Option<C> {
        self.shared.connection.lock().await.take()
    }

    /// Returns whether a unit had to close the connection, so that no connection is available any more.
    pub(crate) fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::SeqCst)
    }

    /// Refuses checkouts from now on, and closes the connection: now, or when the unit that has it ends.
    pub(crate) fn end(&self) {
        self.shared.over.store(true, Ordering::SeqCst);
        if let Ok(mut connection) = self.shared.connection.try_lock() {
            drop(connection.take());
        }
    }
}

impl<C> Clone for SinglePool<C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<C: Send + 'static> Pool<C> for SinglePool<C> {
    fn checkout(&self) -> BoxFuture<'_, Result<Box<dyn Pooled<C>>, PoolError>> {
        async move {
            let shared = &self.shared;
            let mut connection = Arc::clone(&shared.connection).lock_owned().await;
            if shared.over.load(Ordering::SeqCst) {
                return Err(PoolError::Closed);
            }
            if connection.is_none() {
                let reopen = shared.reopen.as_ref().ok_or(PoolError::Closed)?;
                // Cancellation safety: there is still no connection, and the next checkout opens one.
                *connection = Some(reopen().await.map_err(PoolError::Connect)?);
            }
            let checkout = Checkout {
                connection,
                shared: Arc::clone(shared),
            };
            Ok(Box::new(checkout) as Box<dyn Pooled<C>>)
        }
        .boxed()
    }

    fn connect(&self) -> BoxFuture<'_, Result<C, BoxError>> {
        async { Err(SandboxError::RealDatabase.into()) }.boxed()
    }

    fn wait_limit(&self) -> Option<Duration> {
        None
    }

    fn size(&self) -> usize {
        1
    }

    fn max_size(&self) -> usize {
        1
    }

    /// Does nothing: the connection is the sandbox.
    fn close_idle(&self) {}

    fn close(&self) {
        self.end();
    }
}

/// The connection while a unit has it.
struct Checkout<C> {
    connection: OwnedMutexGuard<Option<C>>,
    shared: Arc<Shared<C>>,
}

impl<C: Send + 'static> Pooled<C> for Checkout<C> {
    fn connection(&mut self) -> &mut C {
        self.connection
            .as_mut()
            .expect("a checkout has its connection until it is closed")
    }

    fn close(mut self: Box<Self>) {
        let lost = self.shared.reopen.is_none();
        self.shared.lost.store(lost, Ordering::SeqCst);
        drop(self.connection.take());
    }
}

impl<C> Drop for Checkout<C> {
    fn drop(&mut self) {
        if self.shared.over.load(Ordering::SeqCst) {
            drop(self.connection.take());
        }
    }
}
