//! Pools of deadpool.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool::Runtime;
use deadpool::managed::{
    Manager, Metrics, Object, Pool as DeadpoolPool, PoolError as DeadpoolError, QueueMode,
    RecycleError, RecycleResult, TimeoutType, Timeouts,
};
use diesel_async::AsyncConnection;
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, PoolError as OpenError,
};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::config::{PoolOptions, Setup};
use crate::error::{BoxError, PoolError};
use crate::pool::port::{IntoPool, Pool, Pooled, connect_error, opened_late, sealed};
use crate::pool::upkeep::{self, OpensAhead, Upkeep};

impl<M: Manager> sealed::Sealed for DeadpoolPool<M> {}

#[diagnostic::do_not_recommend]
impl<M> IntoPool<M::Type> for DeadpoolPool<M>
where
    M: Manager + 'static,
    M::Type: Send,
    M::Error: std::error::Error + Send + Sync + 'static,
{
    fn into_pool(self) -> Box<dyn Pool<M::Type>> {
        Box::new(Deadpool {
            pool: self,
            upkeep: None,
        })
    }
}

struct Deadpool<M: Manager> {
    pool: DeadpoolPool<M>,
    /// The upkeep of idle connections, if the pool was made of a URL.
    upkeep: Option<Upkeep>,
}

impl<M> Pool<M::Type> for Deadpool<M>
where
    M: Manager + 'static,
    M::Type: Send,
    M::Error: std::error::Error + Send + Sync + 'static,
{
    fn checkout(&self) -> BoxFuture<'_, Result<Box<dyn Pooled<M::Type>>, PoolError>> {
        async move {
            if let Some(upkeep) = &self.upkeep {
                upkeep.start();
            }
            match self.pool.get().await {
                Ok(object) => Ok(Box::new(object) as Box<dyn Pooled<M::Type>>),
                Err(DeadpoolError::Timeout(timed_out)) => {
                    let timeouts = self.pool.timeouts();
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
        async move {
            let opening = self.pool.manager().create();
            let opened = match self.pool.timeouts().create {
                Some(limit) => timeout(limit, opening)
                    .await
                    .map_err(|_| BoxError::from(opened_late(limit)))?,
                None => opening.await,
            };
            opened.map_err(connect_error)
        }
        .boxed()
    }

    fn wait_limit(&self) -> Option<Duration> {
        self.pool.timeouts().wait
    }

    fn size(&self) -> usize {
        self.pool.status().size
    }

    fn max_size(&self) -> usize {
        self.pool.status().max_size
    }

    fn close_idle(&self) {
        drop(self.pool.retain(|_, _| false));
    }

    fn close(&self) {
        self.pool.close();
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
    C: AsyncConnection + 'static,
    AsyncDieselConnectionManager<C>: Manager<Type = C, Error = OpenError>,
{
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |url| setup(url));
    let manager = Checking {
        manager: AsyncDieselConnectionManager::new_with_config(url, config),
        pooling: pooling.clone(),
        hangs: AtomicBool::new(false),
        ahead: Mutex::default(),
    };
    let pool = DeadpoolPool::<Checking<C>>::builder(manager)
        .max_size(pooling.max_size)
        // Connections beyond those that are needed stay unused, and are closed.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .timeouts(Timeouts {
            wait: Some(pooling.checkout_timeout),
            create: Some(pooling.connect_timeout),
            // The manager limits the check.
            recycle: None,
        })
        .build()
        .expect("a pool with a runtime has all it needs");
    let upkeep = Upkeep::of(&pool, pooling);
    if let (Some(upkeep), Ok(_)) = (&upkeep, Handle::try_current()) {
        upkeep.start();
    }
    Box::new(Deadpool { pool, upkeep })
}

/// The manager of diesel-async, which also looks at the age of a connection, and at a server that hangs.
struct Checking<C: AsyncConnection + 'static> {
    manager: AsyncDieselConnectionManager<C>,
    pooling: PoolOptions,
    /// `true` if a connection did not answer in time, and none was opened since.
    hangs: AtomicBool,
    /// Connections for the next calls of `create`.
    ahead: Mutex<Vec<C>>,
}

impl<C> Manager for Checking<C>
where
    C: AsyncConnection + 'static,
    AsyncDieselConnectionManager<C>: Manager<Type = C, Error = OpenError>,
{
    type Type = C;
    type Error = OpenError;

    async fn create(&self) -> Result<C, OpenError> {
        let ahead = self.ahead.lock().pop();
        let created = match ahead {
            Some(connection) => connection,
            None => self.manager.create().await?,
        };
        self.hangs.store(false, Ordering::Relaxed);
        Ok(created)
    }

    async fn recycle(&self, connection: &mut C, metrics: &Metrics) -> RecycleResult<OpenError> {
        if upkeep::is_old(&self.pooling, metrics) {
            return Err(RecycleError::message("the connection is too old"));
        }
        // Each further connection would cost the whole limit.
        if self.hangs.load(Ordering::Relaxed) {
            return Err(RecycleError::message("another connection did not answer"));
        }
        let answer = self.manager.recycle(connection, metrics);
        match timeout(self.pooling.connect_timeout, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                self.hangs.store(true, Ordering::Relaxed);
                Err(RecycleError::message("the connection did not answer"))
            }
        }
    }
}

impl<C> OpensAhead for Checking<C>
where
    C: AsyncConnection + 'static,
    AsyncDieselConnectionManager<C>: Manager<Type = C, Error = OpenError>,
{
    async fn open_ahead(&self) -> bool {
        let opening = timeout(self.pooling.connect_timeout, self.manager.create());
        let Ok(Ok(opened)) = opening.await else {
            return false;
        };
        self.ahead.lock().push(opened);
        true
    }

    fn close_ahead(&self) {
        let left = std::mem::take(&mut *self.ahead.lock());
        drop(left);
    }
}
