//! The upkeep of a pool of deadpool, which itself looks at a connection only when it is checked out.

use std::sync::Arc;
use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Object, Pool, Timeouts, WeakPool};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::PoolOptions;

/// A manager that opens connections before a pool asks for them.
pub(super) trait OpensAhead: Manager {
    /// Opens a connection for the next `create`. Returns whether that succeeded.
    fn open_ahead(&self) -> impl Future<Output = bool> + Send;

    /// Closes the connections that no `create` has taken.
    fn close_ahead(&self);
}

/// The upkeep of one pool: a task that ends with the pool.
pub(super) struct Upkeep {
    spawn: Box<dyn Fn() -> JoinHandle<()> + Send + Sync>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    /// Returns the upkeep of a pool. `None` if its options leave nothing to do.
    pub(super) fn of<M>(pool: &Pool<M>, pooling: &PoolOptions) -> Option<Self>
    where
        M: OpensAhead + 'static,
        M::Type: Send,
    {
        let (pool, pooling) = (Arc::new(pool.weak()), pooling.clone());
        let between = pooling.upkeep_interval()?;
        Some(Self {
            spawn: Box::new(move || {
                tokio::spawn(keep(Arc::clone(&pool), pooling.clone(), between))
            }),
            task: Mutex::default(),
        })
    }

    /// Starts the task, unless it runs. It ends with the runtime that it was started in, and another one may use the pool.
    pub(super) fn start(&self) {
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            *task = Some((self.spawn)());
        }
    }
}

/// Returns whether a connection has reached the age at which it is closed.
pub(super) fn is_old(pooling: &PoolOptions, metrics: &Metrics) -> bool {
    pooling
        .lifetime(metrics.created)
        .is_some_and(|limit| metrics.age() >= limit)
}

/// Looks at the idle connections of a pool until it is closed or dropped.
async fn keep<M>(pool: Arc<WeakPool<M>>, pooling: PoolOptions, between: Duration)
where
    M: OpensAhead + 'static,
    M::Type: Send,
{
    let mut ticks = interval(between);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(pool) = pool.upgrade() else {
            return;
        };
        if pool.is_closed() {
            return;
        }
        close_outdated(&pool, &pooling);
        test_unused(&pool, &pooling).await;
        fill(&pool, &pooling).await;
    }
}

/// Closes the connections that are too old, and those that were unused for too long.
fn close_outdated<M: Manager>(pool: &Pool<M>, pooling: &PoolOptions) {
    let is_unused = |metrics: &Metrics| {
        pooling
            .idle_timeout
            .is_some_and(|limit| metrics.last_used() >= limit)
    };
    let mut surplus = pool.status().available.saturating_sub(pooling.min_idle);
    let kept = pool.retain(|_, metrics| {
        let is_surplus = surplus > 0 && is_unused(&metrics);
        if is_surplus {
            surplus -= 1;
        }
        !is_surplus && !is_old(pooling, &metrics)
    });
    if !kept.removed.is_empty() {
        tracing::debug!(closed = kept.removed.len(), "idle connections are closed");
    }
}

/// Tests the connections that were unused for too long: a checkout tests the connection, and closes one that fails.
async fn test_unused<M: Manager>(pool: &Pool<M>, pooling: &PoolOptions) {
    let Some(limit) = pooling.keepalive else {
        return;
    };
    let is_due = || {
        let mut is_due = false;
        pool.retain(|_, metrics| {
            is_due |= metrics.last_used() >= limit;
            true
        });
        is_due
    };
    // A checkout tests the connection, and closes it if it fails. It takes the one that was returned last, so those that
    // were tested are held until the oldest is.
    let mut held = Vec::new();
    while is_due() && held.len() < pool.status().size {
        match pool.timeout_get(&at_once(pool)).await {
            Ok(connection) => held.push(connection),
            Err(_) => break,
        }
    }
    give_back(held);
}

/// Opens connections until enough are idle.
async fn fill<M: OpensAhead>(pool: &Pool<M>, pooling: &PoolOptions) {
    let status = pool.status();
    let missing = pooling
        .min_idle
        .saturating_sub(status.available)
        .min(status.max_size.saturating_sub(status.size));
    let mut opened = 0;
    while opened < missing && pool.manager().open_ahead().await {
        opened += 1;
    }
    if opened < missing {
        tracing::debug!("no connection could be opened ahead of its use");
    }
    if opened == 0 {
        return;
    }
    // A checkout takes an idle connection if there is one, so all are held until those that were opened are taken.
    let mut held = Vec::new();
    for _ in 0..pool.status().available + opened {
        match pool.timeout_get(&at_once(pool)).await {
            Ok(connection) => held.push(connection),
            Err(_) => break,
        }
    }
    give_back(held);
    pool.manager().close_ahead();
}

/// Returns connections in the order in which they were returned before.
fn give_back<M: Manager>(mut held: Vec<Object<M>>) {
    while let Some(connection) = held.pop() {
        drop(connection);
    }
}

/// Returns the time limits of the pool, without waiting for a connection in use.
fn at_once<M: Manager>(pool: &Pool<M>) -> Timeouts {
    Timeouts {
        wait: Some(Duration::ZERO),
        ..pool.timeouts()
    }
}
