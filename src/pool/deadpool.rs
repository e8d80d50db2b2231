//! Pools of deadpool.

use std::sync::Arc;
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Object, Pool as DeadpoolPool, PoolError as DeadpoolError, TimeoutType, Timeouts,
};
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::config::{PoolOptions, Setup};
use crate::error::{BoxError, PoolError};
use crate::pool::port::{IntoPool, Pool, Pooled, connect_error, sealed};

impl<M: Manager> sealed::Sealed for DeadpoolPool<M> {}

#[diagnostic::do_not_recommend]
impl<M> IntoPool<M::Type> for DeadpoolPool<M>
where
    M: Manager + 'static,
    M::Type: Send,
    M::Error: std::error::Error + Send + Sync + 'static,
{
    fn into_pool(self) -> Box<dyn Pool<M::Type>> {
        Box::new(self)
    }
}

impl<M> Pool<M::Type> for DeadpoolPool<M>
where
    M: Manager + 'static,
    M::Type: Send,
    M::Error: std::error::Error + Send + Sync + 'static,
{
    fn checkout(&self) -> BoxFuture<'_, Result<Box<dyn Pooled<M::Type>>, PoolError>> {
        async move {
            match self.get().await {
                Ok(object) => Ok(Box::new(object) as Box<dyn Pooled<M::Type>>),
                Err(DeadpoolError::Timeout(timed_out)) => {
                    let timeouts = self.timeouts();
                    let limit = match timed_out {
                        TimeoutType::Wait => timeouts.wait,
                        TimeoutType::Create => timeouts.create,
                        TimeoutType::Recycle => timeouts.recycle,
                    };
                    Err(PoolError::TimedOut(limit.unwrap_or_default()))
                }
                Err(DeadpoolError::Closed) => Err(PoolError::Closed),
                Err(DeadpoolError::Backend(error)) => Err(PoolError::Connect(connect_error(error))),
                Err(error) => Err(PoolError::Connect(error.to_string().into())),
            }
        }
        .boxed()
    }

    fn connect(&self) -> BoxFuture<'_, Result<M::Type, BoxError>> {
        async move { self.manager().create().await.map_err(connect_error) }.boxed()
    }

    fn wait_limit(&self) -> Option<Duration> {
        self.timeouts().wait
    }

    fn size(&self) -> usize {
        self.status().size
    }

    fn max_size(&self) -> usize {
        self.status().max_size
    }

    fn close(&self) {
        DeadpoolPool::close(self);
    }
}

impl<M> Pooled<M::Type> for Object<M>
where
    M: Manager,
    M::Type: Send,
{
    fn connection(&mut self) -> &mut M::Type {
        self
    }

    fn close(self: Box<Self>) {
        drop(Object::take(*self));
    }
}

/// Makes a pool that opens its connections by a URL.
pub(crate) fn from_url<C>(
    url: &str,
    setup: Arc<Setup<C>>,
    pooling: &PoolOptions,
) -> Box<dyn Pool<C>>
where
    C: Send + 'static,
    AsyncDieselConnectionManager<C>: Manager<Type = C>,
    <AsyncDieselConnectionManager<C> as Manager>::Error: std::error::Error + Send + Sync + 'static,
    C: diesel_async::AsyncConnection,
{
    let manager = crate::config::manager(url, setup);
    let pool = DeadpoolPool::<AsyncDieselConnectionManager<C>>::builder(manager)
        .max_size(pooling.max_size)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(pooling.checkout_timeout),
            create: Some(pooling.connect_timeout),
            recycle: Some(pooling.connect_timeout),
        })
        .build()
        .expect("a pool with a runtime has all it needs");
    pool.into_pool()
}
