//! The upkeep of a pool of deadpool, which itself looks at a connection only when it is checked out.

use std::time::Duration;

use deadpool::managed::{Manager, Metrics, Pool, Timeouts, WeakPool};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use crate::config::PoolOptions;

/// The upkeep of one pool: a task that ends with the pool.
pub(super) struct Upkeep {
    pooling: PoolOptions,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Upkeep {
    pub(super) fn new(pooling: &PoolOptions) -> Self {
        Self {
            pooling: pooling.clone(),
            task: Mutex::default(),
        }
    }

    /// Starts the task, unless it runs. It ends with the runtime that it was started in, and another one may use the pool.
    pub(super) fn start<M>(&self, pool: &Pool<M>)
    where
        M: Manager + 'static,
        M::Type: Send,
    {
        let Some(between) = self.pooling.upkeep_interval() else {
            return;
        };
        let mut task = self.task.lock();
        if task.as_ref().is_none_or(JoinHandle::is_finished) {
            let keeping = keep(pool.weak(), self.pooling.clone(), between);
            *task = Some(tokio::spawn(keeping));
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
async fn keep<M>(pool: WeakPool<M>, pooling: PoolOptions, between: Duration)
where
    M: Manager + 'static,
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
    for _ in 0..pool.status().available {
        // A checkout tests the connection that was returned first, and closes it if it fails.
        if !is_due() || pool.timeout_get(&at_once(pool)).await.is_err() {
            return;
        }
    }
}

/// Opens connections until enough are idle.
async fn fill<M: Manager>(pool: &Pool<M>, pooling: &PoolOptions) {
    let status = pool.status();
    let missing = pooling
        .min_idle
        .saturating_sub(status.available)
        .min(status.max_size.saturating_sub(status.size));
    if missing == 0 {
        return;
    }
    // A checkout opens a connection only if none is idle, so all of them are held until the last one is open.
    let mut held = Vec::new();
    for _ in 0..status.available + missing {
        match pool.timeout_get(&at_once(pool)).await {
            Ok(connection) => held.push(connection),
            Err(_) => {
                tracing::debug!("no connection could be opened ahead of its use");
                return;
            }
        }
    }
}

/// Returns the time limits of the pool, without waiting for a connection in use.
fn at_once<M: Manager>(pool: &Pool<M>) -> Timeouts {
    Timeouts {
        wait: Some(Duration::ZERO),
        ..pool.timeouts()
    }
}
