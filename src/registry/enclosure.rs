//! What keeps the units of an entry from being kept, in a sandbox.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::backend::{Connection, Terms};
use crate::commit::{Fault, HookFailure};
use crate::error::BoxError;
use crate::pool::One;
use crate::trace::QueryLog;

/// How long the end waits for a session that still has a connection, and for the server.
const ENDING: Duration = Duration::from_secs(5);

/// A hook that waits for the test to run it.
pub(crate) type CapturedHook =
    Box<dyn FnOnce() -> BoxFuture<'static, Result<(), HookFailure>> + Send>;

/// What a sandbox was told.
#[derive(Default)]
pub(crate) struct Rules {
    /// Settings of units that a savepoint cannot have pass unheeded.
    pub(crate) ignores_settings: bool,
    /// Hooks after the commit wait here, and do not run.
    pub(crate) captures: bool,
    pub(crate) captured: Mutex<Vec<CapturedHook>>,
    /// It is gone, and what units do now is kept by nobody.
    pub(crate) ended: AtomicBool,
}

impl Rules {
    /// Keeps a hook for the test.
    pub(crate) fn capture(&self, hook: CapturedHook) {
        let captured = self.captured.lock();
        captured.unwrap_or_else(PoisonError::into_inner).push(hook);
    }
}

/// Why a bind is not in a sandbox.
#[derive(Debug)]
pub(crate) enum NotStarted {
    /// No connection was opened.
    Connect(Fault),
    /// It could not be kept from committing.
    Enclose(BoxError),
}

/// What keeps the units of an entry from being kept.
pub(crate) struct Enclosure<C> {
    pub(super) one: One<C>,
    /// Those of the transaction that is around all units; without one, they are on a copy.
    pub(super) around: Option<Terms>,
    /// The texts of its statements, unless an instrumentation of the application is in the way.
    pub(super) log: Option<Arc<QueryLog>>,
}

impl<C: Send + 'static> Enclosure<C> {
    pub(super) fn joins(&self) -> bool {
        self.around.is_some()
    }

    /// The transaction around all units is gone, and no unit can follow.
    pub(super) fn is_lost(&self) -> bool {
        self.one.is_lost()
    }

    pub(super) fn listen(&self, listens: bool) {
        if let Some(log) = &self.log {
            log.listen(listens);
        }
    }
}

/// An [`Enclosure`] of any connection type.
pub(crate) trait AnyEnclosure: Send + Sync {
    /// The texts of its statements.
    fn log(&self) -> Option<&QueryLog>;
    /// Ends it: says if anything may have been kept, or the end came before.
    fn leave(&self) -> BoxFuture<'_, Result<(), Left>>;
    /// Closes the connection, as soon as no unit has it.
    fn end(&self);
}

/// What was found at the end.
#[derive(Debug)]
pub(crate) enum Left {
    /// The transaction around all units had ended, or the connection was lost.
    Lost,
    /// A session still has the connection.
    Open,
    /// Something is kept, or may be.
    Fault(Fault),
}

impl<C: Connection> AnyEnclosure for Enclosure<C> {
    fn log(&self) -> Option<&QueryLog> {
        self.log.as_deref()
    }

    fn leave(&self) -> BoxFuture<'_, Result<(), Left>> {
        async move {
            let Ok(taken) = timeout(ENDING, self.one.take()).await else {
                return Err(Left::Open);
            };
            self.one.end();
            match (taken, &self.around) {
                (_, None) => Ok(()),
                (None, Some(_)) => Err(Left::Lost),
                (Some(mut connection), Some(terms)) => {
                    let left = timeout(ENDING, connection.leave(terms)).await;
                    match left.unwrap_or(Err(Fault::TimedOut)) {
                        Ok(()) => Ok(()),
                        Err(Fault::Ended(_)) => Err(Left::Lost),
                        Err(fault) => Err(Left::Fault(fault)),
                    }
                }
            }
        }
        .boxed()
    }

    fn end(&self) {
        self.one.end();
    }
}
