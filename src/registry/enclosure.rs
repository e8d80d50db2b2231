//! The adapter of the port to a sandbox: the rules of a registry, and the enclosure of an entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::backend::{Connection, Terms};
use crate::commit::{Fault, SandboxError};
use crate::error::{Error, PoolError};
use crate::pool::SinglePool;
use crate::registry::sandbox_port::{AnyEnclosure, AnySandbox, CapturedHook};
use crate::trace::QueryLog;

/// The time limit for the end to wait for a session that still has the connection, and for the server.
const ENDING: Duration = Duration::from_secs(5);

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

impl AnySandbox for SandboxRules {
    fn ignores_settings(&self) -> bool {
        self.ignores_settings
    }

    fn captures_hooks(&self) -> bool {
        self.captures
    }

    fn capture(&self, hook: CapturedHook) {
        self.captured.lock().push(hook);
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    fn ended(&self, bind: &'static str) -> Fault {
        SandboxError::Ended { bind }.into()
    }

    fn check_open(&self, bind: &'static str) -> Result<(), Error> {
        match self.has_ended() {
            true => Err(SandboxError::Ended { bind }.into()),
            false => Ok(()),
        }
    }

    fn undeclared(&self, bind: &'static str) -> Error {
        SandboxError::Undeclared { bind }.into()
    }

    fn real_database(&self) -> Fault {
        SandboxError::RealDatabase.into()
    }
}

/// The enclosure of an entry with connections of the type `C`.
pub(super) struct Enclosure<C> {
    pub(super) bind: &'static str,
    pub(super) pool: SinglePool<C>,
    /// The terms of the transaction around all units. `None` if the units are on a copy.
    pub(super) around: Option<Terms>,
    /// The log of its statements, unless the connection has an instrumentation of the application.
    pub(super) log: Option<Arc<QueryLog>>,
}

impl<C: Connection> AnyEnclosure for Enclosure<C> {
    fn is_within_outer(&self) -> bool {
        self.around.is_some()
    }

    fn is_lost(&self) -> bool {
        self.pool.is_lost()
    }

    fn log_statements(&self, is_active: bool) {
        if let Some(log) = &self.log {
            log.set_active(is_active);
        }
    }

    fn not_checked_out(&self, source: PoolError) -> Error {
        let bind = self.bind;
        match source {
            PoolError::TimedOut(waited) => SandboxError::OneConnection { bind, waited }.into(),
            _ if self.is_lost() => SandboxError::Lost { bind, source: None }.into(),
            source => Error::Pool { bind, source },
        }
    }

    fn not_begun(&self, source: diesel::result::Error) -> Error {
        let bind = self.bind;
        match &self.around {
            Some(_) => {
                let source = Some(source);
                SandboxError::Lost { bind, source }.into()
            }
            None => Error::Begin { bind, source },
        }
    }

    fn log(&self) -> Option<&QueryLog> {
        self.log.as_deref()
    }

    fn end(&self) -> BoxFuture<'_, Result<(), SandboxError>> {
        async move {
            let bind = self.bind;
            let Ok(taken) = timeout(ENDING, self.pool.take()).await else {
                return Err(SandboxError::StillOpen { bind });
            };
            self.pool.end();
            match (taken, &self.around) {
                (_, None) => Ok(()),
                (None, Some(_)) => Err(SandboxError::Lost { bind, source: None }),
                (Some(mut connection), Some(terms)) => {
                    let left = timeout(ENDING, connection.end_enclosure(terms)).await;
                    match left.unwrap_or(Err(Fault::TimedOut)) {
                        Ok(()) => Ok(()),
                        Err(Fault::TransactionEnded(source)) => Err(SandboxError::Lost {
                            bind,
                            source: Some(source),
                        }),
                        Err(fault) => Err(SandboxError::Kept {
                            bind,
                            source: fault.into(),
                        }),
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
