//! A registry that never commits anything: the same binds, each on one connection of its own.

use std::any::TypeId;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::backend::{self, Connection, PrivateCopy, Reopen};
use crate::commit::{Fault, SandboxError};
use crate::config::RecoveryOptions;
use crate::pool::SinglePool;
use crate::recovery::Worker;
use crate::registry::any_entry::recovery_scope;
use crate::registry::enclosure::{Enclosure, SandboxRules};
use crate::registry::entry::Known;
use crate::registry::{AnyEntry, Entry, Registry};
use crate::trace::{PoolMetrics, QueryLog};

impl<C: Connection> Entry<C> {
    /// Returns an entry of the same bind on a connection of its own, which never commits anything.
    pub(super) async fn enclose(&self) -> Result<Self, SandboxError> {
        let bind = self.key;
        let not_connected = |fault: Fault| SandboxError::Connect {
            bind,
            source: fault.into(),
        };
        let mut connection = self
            .connect(self.timeouts.checkout)
            .await
            .map_err(not_connected)?;
        let enclosing = async {
            // The properties of this connection, which the hooks of the pool have not set up. Read before the
            // transaction begins: on some hosts, a query fails and would abort it.
            let server = self.inspect(&mut connection).await?;
            let mut terms = self.terms(self.clock.generate(), server);
            terms.sandboxed = true;
            let enclosed = connection.enclose(&terms, self.setup.clone()).await?;
            Ok((enclosed, terms))
        };
        let enclosed = timeout(self.timeouts.step, enclosing).await;
        let (enclosed, terms) = enclosed
            .map_err(|_| not_connected(Fault::TimedOut))?
            .map_err(|source| SandboxError::Enclose { bind, source })?;
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
        let pool = SinglePool::new(connection, reopen.map(|reopen| logging(reopen, &log)));
        Ok(Self {
            key: self.key,
            metrics: PoolMetrics::new(self.key, 1),
            pool: Box::new(pool.clone()),
            options: self.options.clone(),
            tls: self.tls.clone(),
            setup: None,
            after_begin: Arc::clone(&self.after_begin),
            attached: attached.unwrap_or_else(|| Arc::clone(&self.attached)),
            namespace: Arc::clone(&self.namespace),
            is_only_bind: self.is_only_bind,
            kept_writes: self.kept_writes.clone(),
            timeouts,
            clock: Arc::clone(&self.clock),
            server: Mutex::new(Some(Known::now(&terms.server))),
            server_outside_pool: Mutex::new(None),
            identity: Mutex::default(),
            used: Mutex::default(),
            left: Mutex::default(),
            leaves: AtomicUsize::new(0),
            enclosure: Some(Box::new(Enclosure {
                bind,
                pool,
                around: (!is_copy).then_some(terms),
                log: logs.then_some(log),
            })),
        })
    }
}

/// Logs the statements of each connection that is opened.
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
    /// Returns a registry of these binds only, which never commits anything.
    pub(crate) async fn enclose(
        &self,
        binds: &[(TypeId, &'static str)],
        rules: Arc<SandboxRules>,
    ) -> Result<Self, SandboxError> {
        let mut positions = Vec::new();
        for (id, bind) in binds {
            let unknown = SandboxError::UnknownBind { bind };
            positions.push(*self.index.get(id).ok_or(unknown)?);
        }
        let mut used = positions.clone();
        used.sort_unstable();
        used.dedup();
        let mut entries: Vec<Arc<dyn AnyEntry>> = Vec::with_capacity(used.len());
        for position in &used {
            entries.push(self.entries[*position].enclose().await?);
        }
        let index: BTreeMap<TypeId, usize> = binds
            .iter()
            .zip(positions)
            .map(|((id, _), position)| (*id, used.partition_point(|other| *other < position)))
            .collect();
        Ok(Self {
            index,
            scope: recovery_scope(&entries, &self.namespace, self.scope.retention),
            entries,
            // Only a check uses them, which finds no database here.
            sharing_binds: Vec::new(),
            namespace: Arc::clone(&self.namespace),
            clock: Arc::clone(&self.clock),
            background: TaskTracker::new(),
            worker: Worker::new(RecoveryOptions::new().without_worker(), false),
            closed: AtomicBool::new(false),
            trace: self.trace,
            #[cfg(feature = "migrations")]
            migrations: Arc::new(
                self.migrations
                    .refusing(|| SandboxError::RealDatabase.into()),
            ),
            faults: Mutex::default(),
            sandbox: Some(rules),
        })
    }
}
