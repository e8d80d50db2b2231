//! An entry without the type of its connection.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::backend::{Backend, Connection};
use crate::commit::Fault;
use crate::error::{Error, PoolError};
use crate::gid::DatabaseId;
use crate::recovery::{Database, RecoveryScope};
use crate::registry::entry::Entry;
use crate::registry::examine::Examined;
#[cfg(feature = "testing")]
use crate::registry::sandbox_port::AnyEnclosure;

/// An entry of any connection type.
pub(crate) trait AnyEntry: Database {
    fn backend(&self) -> Backend;
    fn allows_not_durable(&self) -> bool;
    fn requires_replication(&self) -> bool;
    /// Returns whether it may leave units to recover, or records to delete.
    fn needs_recovery(&self) -> bool;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn install(&self) -> BoxFuture<'_, Result<(), Error>>;
    /// Examines the database on a connection of its own. Fails if the server does not answer in time.
    fn examine(&self) -> BoxFuture<'_, Result<Examined, Fault>>;
    fn adopt(&self, id: Option<DatabaseId>) -> BoxFuture<'_, Result<(), Fault>>;
    /// Runs a query on a connection of the pool.
    fn ping(&self, limit: Duration) -> BoxFuture<'_, Result<(), Error>>;
    fn close(&self);
    /// Returns an entry of the same bind on a connection that never commits anything.
    #[cfg(feature = "testing")]
    fn enclose(&self) -> BoxFuture<'_, Result<Arc<dyn AnyEntry>, crate::commit::SandboxError>>;
    /// Returns the enclosure, if the entry is in a sandbox.
    #[cfg(feature = "testing")]
    fn enclosure(&self) -> Option<&dyn AnyEnclosure>;
}

/// Returns the databases of entries, as recovery sees them.
pub(super) fn recovery_scope(
    entries: &[Arc<dyn AnyEntry>],
    namespace: &Arc<str>,
    retention: Duration,
) -> Arc<RecoveryScope> {
    let databases = entries
        .iter()
        .map(|entry| Arc::clone(entry) as Arc<dyn Database>);
    Arc::new(RecoveryScope {
        databases: databases.collect(),
        namespace: Arc::clone(namespace),
        retention,
    })
}

impl<C: Connection> AnyEntry for Entry<C> {
    fn backend(&self) -> Backend {
        C::BACKEND
    }

    fn allows_not_durable(&self) -> bool {
        self.options.allow_not_durable
    }

    fn requires_replication(&self) -> bool {
        self.options.require_synchronous_replication
    }

    fn needs_recovery(&self) -> bool {
        let may_prepare = !self.is_only_bind
            && C::CAN_PREPARE
            && !self.options.never_prepare
            && !self.options.read_only;
        may_prepare || self.options.record_every_commit
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn install(&self) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let bind = self.key;
            let pool = |source| Error::Pool { bind, source };
            let mut connection = timeout(self.timeouts.checkout, self.pool.connect())
                .await
                .map_err(|_| pool(PoolError::TimedOut(self.timeouts.checkout)))?
                .map_err(|error| pool(PoolError::Connect(error)))?;
            let query = |source| Error::Query { bind, source };
            connection.install().await.map_err(query)?;
            // An existing table stays as it was, and may differ from that of the migration.
            let server = self.server(&mut connection).await.map_err(query)?;
            let identified = connection.database_id(&server.schema).await;
            identified
                .map(drop)
                .map_err(|source| Error::Tables { bind, source })
        }
        .boxed()
    }

    fn examine(&self) -> BoxFuture<'_, Result<Examined, Fault>> {
        async move {
            let mut connection = self.connect(self.timeouts.checkout).await?;
            timeout(self.timeouts.step, self.examine_on(&mut connection))
                .await
                .unwrap_or(Err(Fault::TimedOut))
        }
        .boxed()
    }

    fn adopt(&self, id: Option<DatabaseId>) -> BoxFuture<'_, Result<(), Fault>> {
        self.adopt_id(id).boxed()
    }

    fn ping(&self, limit: Duration) -> BoxFuture<'_, Result<(), Error>> {
        self.ping_on_pool(limit).boxed()
    }

    fn close(&self) {
        self.pool.close();
    }

    #[cfg(feature = "testing")]
    fn enclose(&self) -> BoxFuture<'_, Result<Arc<dyn AnyEntry>, crate::commit::SandboxError>> {
        async move { Ok(Arc::new(self.enclose().await?) as Arc<dyn AnyEntry>) }.boxed()
    }

    #[cfg(feature = "testing")]
    fn enclosure(&self) -> Option<&dyn AnyEnclosure> {
        self.enclosure()
    }
}
