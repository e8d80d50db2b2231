//! The enclosure of an entry in a sandbox, which prevents every commit of a unit.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::backend::{Connection, Terms};
use crate::commit::{Fault, HookFailure};
use crate::error::BoxError;
use crate::pool::SinglePool;
use crate::trace::QueryLog;

/// The time limit for the end to wait for a session that still has the connection, and for the server.
const ENDING: Duration = Duration::from_secs(5);

/// A hook that runs only when the test runs it.
pub(crate) type CapturedHook =
    Box<dyn FnOnce() -> BoxFuture<'static, Result<(), HookFailure>> + Send>;

/// The rules of a sandbox.
#[derive(Default)]
pub(crate) struct SandboxRules {
    /// `true` if settings that a savepoint cannot have are ignored.
    pub(crate) ignores_settings: bool,
    /// `true` if hooks after the commit are kept for the test, and do not run.
    pub(crate) captures: bool,
    pub(crate) captured: Mutex<Vec<CapturedHook>>,
    /// `true` if the sandbox has ended.
    pub(crate) ended: AtomicBool,
}

impl SandboxRules {
    /// Keeps a hook for the test.
    pub(crate) fn capture(&self, hook: CapturedHook) {
        self.captured.lock().push(hook);
    }
}

/// The reason why a bind is not in a sandbox.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// No connection was opened.
    Connect(Fault),
    /// Commits of the connection could not be prevented.
    Enclose(BoxError),
}

/// The enclosure of an entry, which prevents every commit of a unit.
pub(crate) struct Enclosure<C> {
    pub(super) pool: SinglePool<C>,
    /// The terms of the transaction around all units. `None` if the units are on a copy.
    pub(super) around: Option<Terms>,
    /// The log of its statements, unless the connection has an instrumentation of the application.
    pub(super) log: Option<Arc<QueryLog>>,
}

impl<C: Send + 'static> Enclosure<C> {
    pub(super) fn is_within_outer(&self) -> bool {
        self.around.is_some()
    }

    /// Returns whether the transaction around all units is gone, so that no unit can follow.
    pub(super) fn is_lost(&self) -> bool {
        self.pool.is_lost()
    }

    pub(super) fn log_statements(&self, is_active: bool) {
        if let Some(log) = &self.log {
            log.set_active(is_active);
        }
    }
}

/// An [`Enclosure`] of any connection type.
pub(crate) trait AnyEnclosure: Send + Sync {
    /// Returns the log of its statements.
    fn log(&self) -> Option<&QueryLog>;
    /// Ends the enclosure. Fails if any change may have been committed, or if the transaction had ended before.
    fn end(&self) -> BoxFuture<'_, Result<(), NotEnded>>;
    /// Closes the connection as soon as no unit uses it.
    fn close(&self);
}

/// The reason why an enclosure did not end cleanly.
#[derive(Debug)]
pub(crate) enum NotEnded {
    /// The transaction around all units had ended, or the connection was lost.
    Lost,
    /// A session still has the connection.
    Open,
    /// A change is committed, or may be.
    Fault(Fault),
}

impl<C: Connection> AnyEnclosure for Enclosure<C> {
    fn log(&self) -> Option<&QueryLog> {
        self.log.as_deref()
    }

    fn end(&self) -> BoxFuture<'_, Result<(), NotEnded>> {
        async move {
            let Ok(taken) = timeout(ENDING, self.pool.take()).await else {
                return Err(NotEnded::Open);
            };
            self.pool.end();
            match (taken, &self.around) {
                (_, None) => Ok(()),
                (None, Some(_)) => Err(NotEnded::Lost),
                (Some(mut connection), Some(terms)) => {
                    let left = timeout(ENDING, connection.end_enclosure(terms)).await;
                    match left.unwrap_or(Err(Fault::TimedOut)) {
                        Ok(()) => Ok(()),
                        Err(Fault::TransactionEnded(_)) => Err(NotEnded::Lost),
                        Err(fault) => Err(NotEnded::Fault(fault)),
                    }
                }
            }
        }
        .boxed()
    }

    fn close(&self) {
        self.pool.end();
    }
}
