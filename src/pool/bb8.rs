//! Pools of bb8.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bb8::{ManageConnection, PooledConnection, RunError};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use crate::error::{BoxError, PoolError};
use crate::pool::port::{IntoPool, Pool, Pooled, connect_error, sealed};

impl<M: ManageConnection> sealed::Sealed for bb8::Pool<M> {}

#[diagnostic::do_not_recommend]
impl<M> IntoPool<M::Connection> for bb8::Pool<M>
where
    M: ManageConnection,
    M::Error: std::error::Error + Send + Sync + 'static,
{
    fn into_pool(self) -> Box<dyn Pool<M::Connection>> {
        Box::new(Bb8 {
            max_size: self.config().max_size as usize,
            timeout: self.config().connection_timeout,
            pool: self,
        })
    }
}

struct Bb8<M: ManageConnection> {
    pool: bb8::Pool<M>,
    max_size: usize,
    timeout: Duration,
}

impl<M> Pool<M::Connection> for Bb8<M>
where
    M: ManageConnection,
    M::Error: std::error::Error + Send + Sync + 'static,
{
    fn checkout(&self) -> BoxFuture<'_, Result<Box<dyn Pooled<M::Connection>>, PoolError>> {
        let pool = self.pool.clone();
        let getting = async move { pool.get_owned().await };
        async move {
            match Checkout::of(getting.boxed()).await {
                Ok(connection) => Ok(Box::new(connection) as Box<dyn Pooled<M::Connection>>),
                Err(RunError::TimedOut) => Err(PoolError::TimedOut(self.timeout)),
                Err(RunError::User(error)) => Err(PoolError::Connect(connect_error(error))),
            }
        }
        .boxed()
    }

    fn connect(&self) -> BoxFuture<'_, Result<M::Connection, BoxError>> {
        async move {
            self.pool
                .dedicated_connection()
                .await
                .map_err(connect_error)
        }
        .boxed()
    }

    fn wait_limit(&self) -> Option<Duration> {
        Some(self.timeout)
    }

    fn size(&self) -> usize {
        self.pool.state().connections as usize
    }

    fn max_size(&self) -> usize {
        self.max_size
    }

    /// Does nothing: bb8 closes a connection only when it is checked out, or by its age.
    fn close_idle(&self) {}

    /// Does nothing: bb8 cannot be closed, and ends when the last handle of the application is dropped.
    fn close(&self) {}
}

/// A checkout that continues in the background when it is dropped.
///
/// bb8 tests a connection before it hands it out. If the checkout is dropped during the test, the connection goes back
/// with an unread reply. On MySQL its next user would then read each reply one statement late. On SQLite bb8 itself
/// panics.
struct Checkout<T: 'static> {
    getting: Option<BoxFuture<'static, T>>,
    handle: Option<Handle>,
}

impl<T: 'static> Checkout<T> {
    fn of(getting: BoxFuture<'static, T>) -> Self {
        Self {
            getting: Some(getting),
            handle: Handle::try_current().ok(),
        }
    }
}

impl<T: 'static> Future for Checkout<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let getting = self.getting.as_mut();
        let got = ready!(
            getting
                .expect("a future that has returned is not polled again")
                .as_mut()
                .poll(context)
        );
        self.getting = None;
        Poll::Ready(got)
    }
}

impl<T: 'static> Drop for Checkout<T> {
    fn drop(&mut self) {
        let Some(getting) = self.getting.take() else {
            return;
        };
        match self.handle.take() {
            Some(handle) => {
                let rest = Self {
                    getting: Some(getting),
                    handle: None,
                };
                handle.spawn(async move { drop(rest.await) });
            }
            // The runtime is shutting down, and its pool with it. Losing a connection is better than returning a dirty
            // one.
            None => std::mem::forget(getting),
        }
    }
}

impl<M: ManageConnection> Pooled<M::Connection> for PooledConnection<'static, M> {
    fn connection(&mut self) -> &mut M::Connection {
        self
    }

    /// Drops the connection: bb8 cannot take one out, but discards one that Diesel calls broken, as this one is.
    fn close(self: Box<Self>) {}
}

/// Makes a pool that opens its connections by a URL. It tests no idle connection.
#[cfg(not(feature = "deadpool"))]
pub(crate) fn from_url<C>(
    url: &str,
    setup: std::sync::Arc<crate::config::Setup<C>>,
    pooling: &crate::config::PoolOptions,
) -> Box<dyn Pool<C>>
where
    C: Send + 'static,
    Manager<C>: ManageConnection<Connection = C>,
    <Manager<C> as ManageConnection>::Error: std::error::Error + Send + Sync + 'static,
    C: diesel_async::AsyncConnection,
{
    // bb8 panics at a limit of zero.
    let above_zero = |limit: Duration| limit.max(Duration::from_nanos(1));
    let count = |connections: usize| u32::try_from(connections).unwrap_or(u32::MAX);
    let mut config = diesel_async::pooled_connection::ManagerConfig::default();
    config.custom_setup = Box::new(bounded(setup, pooling.connect_timeout));
    let manager = Manager::<C>::new_with_config(url, config);
    let mut builder = bb8::Pool::<Manager<C>>::builder();
    if let Some(interval) = pooling.upkeep_interval() {
        builder = builder.reaper_rate(interval);
    }
    builder
        .max_size(count(pooling.max_size.max(1)))
        .min_idle(count(pooling.min_idle.min(pooling.max_size)))
        .connection_timeout(above_zero(pooling.checkout_timeout))
        .idle_timeout(pooling.idle_timeout.map(above_zero))
        .max_lifetime(pooling.lifetime(url).map(above_zero))
        .build_unchecked(manager)
        .into_pool()
}

/// Limits the time in which a connection is opened, because bb8 has no such limit.
#[cfg(not(feature = "deadpool"))]
fn bounded<C: 'static>(
    setup: std::sync::Arc<crate::config::Setup<C>>,
    limit: Duration,
) -> impl for<'u> Fn(&'u str) -> BoxFuture<'u, diesel::ConnectionResult<C>> + Send + Sync {
    move |url| {
        let opening = tokio::time::timeout(limit, setup(url));
        async move {
            opening.await.unwrap_or_else(|_| {
                Err(diesel::ConnectionError::BadConnection(
                    crate::pool::port::opened_late(limit),
                ))
            })
        }
        .boxed()
    }
}

#[cfg(not(feature = "deadpool"))]
type Manager<C> = diesel_async::pooled_connection::AsyncDieselConnectionManager<C>;
