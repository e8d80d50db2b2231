//! A registry of which nothing is ever kept: the same binds, each on one connection of its own.

use std::any::TypeId;
use std::collections::HashMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::backend::{self, Connection, PrivateCopy, Reopen, Terms};
use crate::commit::{Fault, HookFailure};
use crate::config::RecoveryOptions;
use crate::error::BoxError;
use crate::gid::UnitId;
use crate::pool::One;
use crate::recovery::{Database, Scope, Worker};
use crate::registry::{AnyEntry, Entry, Registry};
use crate::trace::{PoolMetrics, QueryLog};

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
    one: One<C>,
    /// Those of the transaction that is around all units; without one, they are on a copy.
    around: Option<Terms>,
    /// The texts of its statements, unless an instrumentation of the application is in the way.
    log: Option<Arc<QueryLog>>,
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

impl<C: Connection> Entry<C> {
    /// The same bind, on a connection of its own of which nothing is ever kept.
    pub(super) async fn enclose(&self) -> Result<Self, NotStarted> {
        let mut connection = self
            .connect(self.timeouts.checkout)
            .await
            .map_err(NotStarted::Connect)?;
        let enclosing = async {
            // Before the transaction: afterwards, what fails on some hosts would abort it.
            let server = self.server(&mut connection).await?;
            let mut terms = self.terms(UnitId::generate(), server);
            terms.sandboxed = true;
            let enclosed = connection.enclose(&terms, self.setup.clone()).await?;
            Ok((enclosed, terms))
        };
        let enclosed = timeout(self.timeouts.step, enclosing).await;
        let (enclosed, terms) = enclosed
            .map_err(|_| NotStarted::Connect(Fault::TimedOut))?
            .map_err(NotStarted::Enclose)?;
        let mut connection = enclosed.connection;
        let log = Arc::new(QueryLog::default());
        let logs = backend::log(&mut connection, &log);
        let (attached, reopen) = match enclosed.copy {
            Some(PrivateCopy { attached, reopen }) => (Some(attached), Some(reopen)),
            None => (None, None),
        };
        let is_copy = reopen.is_some();
        let mut timeouts = self.timeouts.clone();
        if let Some(limit) = self.pool.wait_limit() {
            timeouts.checkout = timeouts.checkout.min(limit);
        }
        let one = One::new(connection, reopen.map(|reopen| logging(reopen, &log)));
        Ok(Self {
            key: self.key,
            metrics: PoolMetrics::new(self.key, 1),
            pool: Box::new(one.clone()),
            options: self.options.clone(),
            setup: None,
            after_begin: Arc::clone(&self.after_begin),
            attached: attached.unwrap_or_else(|| Arc::clone(&self.attached)),
            namespace: Arc::clone(&self.namespace),
            alone: self.alone,
            timeouts,
            server: OnceCell::from(Arc::clone(&terms.server)),
            database: Mutex::new(None),
            enclosure: Some(Enclosure {
                one,
                around: (!is_copy).then_some(terms),
                log: logs.then_some(log),
            }),
        })
    }
}

/// Notes the statements of each connection that is opened.
fn logging<C: Connection>(reopen: Reopen<C>, log: &Arc<QueryLog>) -> Reopen<C> {
    let log = Arc::clone(log);
    Arc::new(move || {
        let (opening, log) = (reopen(), Arc::clone(&log));
        async move {
            let mut connection = opening.await?;
            backend::log(&mut connection, &log);
            Ok(connection)
        }
        .boxed()
    })
}

impl Registry {
    /// The same with these binds only, of which nothing is ever kept. The error comes with the key of its bind.
    pub(crate) async fn enclose(
        &self,
        binds: &[(TypeId, &'static str)],
        rules: Rules,
    ) -> Result<Self, (&'static str, Option<NotStarted>)> {
        let mut positions = Vec::new();
        for (id, key) in binds {
            positions.push(*self.index.get(id).ok_or((*key, None))?);
        }
        let mut used = positions.clone();
        used.sort_unstable();
        used.dedup();
        let mut entries: Vec<Arc<dyn AnyEntry>> = Vec::with_capacity(used.len());
        for position in &used {
            let entry = &self.entries[*position];
            let enclosed = entry.enclose().await;
            entries.push(enclosed.map_err(|failed| (entry.key(), Some(failed)))?);
        }
        let index: HashMap<TypeId, usize> = binds
            .iter()
            .zip(positions)
            .map(|((id, _), position)| (*id, used.partition_point(|other| *other < position)))
            .collect();
        let databases = entries
            .iter()
            .map(|entry| Arc::clone(entry) as Arc<dyn Database>);
        let scope = Scope {
            databases: databases.collect(),
            namespace: Arc::clone(&self.namespace),
            retention: self.scope.retention,
        };
        Ok(Self {
            index,
            scope: Arc::new(scope),
            entries,
            // Only a check looks at them, which finds no database here.
            neighbours: Vec::new(),
            namespace: Arc::clone(&self.namespace),
            background: TaskTracker::new(),
            worker: Worker::new(RecoveryOptions::new().elsewhere(), false),
            closed: AtomicBool::new(false),
            trace: self.trace,
            #[cfg(feature = "migrations")]
            migrations: Arc::new(self.migrations.refusing(|| Fault::Sandbox)),
            faults: Mutex::default(),
            sandbox: Some(Arc::new(rules)),
        })
    }
}
