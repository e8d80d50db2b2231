//! The worker: repeats passes until it is stopped.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::RecoveryOptions;
use crate::recovery::database::RecoveryScope;
use crate::recovery::observed::recover;
use crate::recovery::purpose::Purpose;

/// The first pause after a pass that left something.
const SOON: Duration = Duration::from_secs(1);

/// The worker of one registry. Dropping it stops the worker.
pub(crate) struct Worker {
    options: RecoveryOptions,
    /// The binds may need recovery, and this process is to do it.
    wanted: bool,
    running: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Worker {
    pub(crate) fn new(options: RecoveryOptions, needed: bool) -> Self {
        Self {
            wanted: needed && !options.without_worker,
            options,
            running: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    /// Returns whether this process runs a worker.
    pub(crate) fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// Starts the worker, unless it runs, was stopped, or is not wanted.
    ///
    /// The worker can start again after its runtime is gone: a process may have one runtime after the other.
    pub(crate) fn start(&self, scope: &Arc<RecoveryScope>, tasks: &TaskTracker, runtime: &Handle) {
        if !self.wanted
            || self.running.load(Ordering::Relaxed)
            || self.stop.is_cancelled()
            || self.running.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let application = &*scope.namespace;
        tracing::debug!(application, "the worker of recovery starts");
        let running = Running {
            flag: Arc::clone(&self.running),
            application: Arc::clone(&scope.namespace),
        };
        let (scope, options, stop) = (
            Arc::downgrade(scope),
            self.options.clone(),
            self.stop.clone(),
        );
        let work = async move {
            let _running = running;
            // Cancellation safety: a pass may stop anywhere, and the next one does the rest.
            let _ = stop.run_until_cancelled(work(scope, options)).await;
        };
        tasks.spawn_on(work, runtime);
    }

    /// Stops the worker for good, also during a pass. Waiting for the tasks of the registry includes the worker.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Repeats passes. Holds the scope only during a pass, so that the registry can be dropped, which ends the loop.
async fn work(scope: Weak<RecoveryScope>, options: RecoveryOptions) {
    let mut soon = SOON;
    sleep(part_of(options.jitter)).await;
    loop {
        let Some(scope) = scope.upgrade() else {
            return;
        };
        let recovery = recover(&scope, Purpose::Work).await;
        drop(scope);
        let rest = if recovery.is_complete() {
            soon = SOON;
            options.interval
        } else {
            let rest = soon.min(options.interval);
            soon = soon.saturating_mul(2);
            rest
        };
        let rest = rest + part_of(options.jitter.min(rest));
        tracing::debug!(?rest, "the worker of recovery rests");
        sleep(rest).await;
    }
}

/// Returns a random part of a duration.
fn part_of(time: Duration) -> Duration {
    let random = RandomState::new().hash_one(()) >> 32;
    time.mul_f64(random as f64 / f64::from(u32::MAX))
}

/// A guard that notes the end of the worker, also when the runtime drops its task.
struct Running {
    flag: Arc<AtomicBool>,
    application: Arc<str>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.flag.store(false, Ordering::Relaxed);
        let application = &*self.application;
        tracing::debug!(application, "the worker of recovery ends");
    }
}
