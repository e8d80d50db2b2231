//! One database of the registry: its pool, its settings, and what its server said of itself.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::backend::{Attached, Backend, Connection, Server};
use crate::commit::Fault;
use crate::config::{BindOptions, Setup, Timeouts};
use crate::error::{Error, PoolError};
use crate::gid::{DatabaseId, UnitId};
use crate::pool::{Pool, Pooled};
use crate::recovery::Database;
#[cfg(feature = "testing")]
use crate::registry::sandbox::{Enclosure, NotStarted};
use crate::trace::{Place, PoolMetrics};

/// What the application does at the begin of each transaction.
pub(crate) type AfterBegin<C> =
    Box<dyn for<'c> Fn(&'c mut C) -> BoxFuture<'c, diesel::QueryResult<()>> + Send + Sync>;

/// One database of the registry.
pub(crate) struct Entry<C> {
    pub(crate) key: &'static str,
    pub(crate) pool: Box<dyn Pool<C>>,
    pub(crate) metrics: PoolMetrics,
    pub(crate) options: BindOptions,
    /// How its connections are opened, where the application said so and not its pool.
    pub(super) setup: Option<Arc<Setup<C>>>,
    pub(crate) after_begin: Arc<[AfterBegin<C>]>,
    pub(crate) attached: Arc<[Attached]>,
    pub(crate) namespace: Arc<str>,
    /// No other bind can take part in its units, so that nothing is ever prepared.
    pub(super) alone: bool,
    pub(crate) timeouts: Timeouts,
    pub(super) server: OnceCell<Arc<Server>>,
    pub(super) database: Mutex<Option<DatabaseId>>,
    /// What keeps all of its units from being kept, in a sandbox.
    #[cfg(feature = "testing")]
    pub(super) enclosure: Option<Enclosure<C>>,
}

impl<C: Connection> Entry<C> {
    pub(crate) fn new(
        key: &'static str,
        pool: Box<dyn Pool<C>>,
        options: BindOptions,
        after_begin: Vec<AfterBegin<C>>,
        namespace: Arc<str>,
        alone: bool,
        timeouts: Timeouts,
    ) -> Self {
        let attached = options
            .attached
            .iter()
            .map(|(key, path)| Attached {
                key,
                path: path.clone(),
            })
            .collect();
        Self {
            key,
            metrics: PoolMetrics::new(key, pool.max_size()),
            pool,
            options,
            setup: None,
            after_begin: after_begin.into(),
            attached,
            namespace,
            alone,
            timeouts,
            server: OnceCell::new(),
            database: Mutex::new(None),
            #[cfg(feature = "testing")]
            enclosure: None,
        }
    }

    /// The same, with how its connections are opened, where the application said so.
    pub(super) fn opened_by(mut self, setup: Option<Arc<Setup<C>>>) -> Self {
        self.setup = setup;
        self
    }

    /// Its units are savepoints in a transaction that never commits.
    pub(crate) fn joins(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.enclosure.as_ref().is_some_and(Enclosure::joins);
        #[cfg(not(feature = "testing"))]
        false
    }

    /// It is in a sandbox, whose transaction is gone: no unit can follow.
    pub(crate) fn is_lost(&self) -> bool {
        #[cfg(feature = "testing")]
        return self.enclosure.as_ref().is_some_and(Enclosure::is_lost);
        #[cfg(not(feature = "testing"))]
        false
    }

    /// Says whether what runs from now on is the application's, to whoever counts that.
    pub(crate) fn listen(&self, listens: bool) {
        #[cfg(feature = "testing")]
        if let Some(enclosure) = &self.enclosure {
            enclosure.listen(listens);
        }
        #[cfg(not(feature = "testing"))]
        let _ = listens;
    }

    /// Takes a connection of the pool, within the limit of the pool or `limit`.
    pub(crate) async fn checkout(&self, limit: Duration) -> Result<Box<dyn Pooled<C>>, PoolError> {
        let waiting = self.metrics.wait();
        let checkout = match timeout(limit, self.pool.checkout()).await {
            Ok(result) => result,
            #[cfg(feature = "testing")]
            Err(_) if self.enclosure.is_some() => Err(PoolError::OneConnection(limit)),
            Err(_) => Err(PoolError::TimedOut(limit)),
        };
        match &checkout {
            Ok(_) => waiting.done(),
            Err(PoolError::TimedOut(_) | PoolError::OneConnection(_)) => waiting.timed_out(),
            Err(_) => {}
        }
        checkout
    }

    /// What the server said of itself, if anybody asked before.
    pub(crate) fn known_server(&self) -> Option<Arc<Server>> {
        self.server.get().cloned()
    }

    /// Where the server says that the bind is, if anybody asked before.
    pub(crate) fn known_place(&self) -> Option<Place<'_>> {
        self.server.get().map(|server| server.place(self.key))
    }

    /// What the server said of itself, asked on `connection` if nobody asked before.
    pub(crate) async fn server(&self, connection: &mut C) -> diesel::QueryResult<Arc<Server>> {
        let server = self
            .server
            .get_or_try_init(|| async { connection.inspect().await.map(Arc::new) })
            .await?;
        Ok(Arc::clone(server))
    }

    /// Why nothing can be prepared here, if so.
    pub(crate) fn cannot_prepare(&self, server: &Server) -> Option<String> {
        if self.options.never_prepare {
            return Some("`never_prepare` is set".into());
        }
        if C::BACKEND == Backend::Mysql && self.options.trust_mysql_xa {
            return None;
        }
        server.cannot_prepare.clone()
    }

    /// The id of the database, once read.
    pub(crate) fn database(&self) -> Option<DatabaseId> {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the id of the database, or forgets it.
    pub(crate) fn note_database(&self, id: Option<DatabaseId>) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = id;
    }

    /// Opens a connection that the pool does not count, within `limit`.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<C, Fault> {
        match timeout(limit, self.pool.connect()).await {
            Ok(connection) => connection.map_err(Fault::Connect),
            Err(_) => Err(Fault::TimedOut),
        }
    }

    async fn install(&self) -> Result<(), Error> {
        let bind = self.key;
        let pool = |source| Error::Pool { bind, source };
        let mut connection = timeout(self.timeouts.checkout, self.pool.connect())
            .await
            .map_err(|_| pool(PoolError::TimedOut(self.timeouts.checkout)))?
            .map_err(|error| pool(PoolError::Connect(error)))?;
        connection
            .install()
            .await
            .map_err(|source| Error::Query { bind, source })
    }

    /// Looks at the database on a connection of its own. A server that does not answer ends this as well.
    async fn examine(&self) -> Result<Examined, Fault> {
        let mut connection = self.connect(self.timeouts.checkout).await?;
        timeout(self.timeouts.step, self.examine_on(&mut connection))
            .await
            .unwrap_or(Err(Fault::TimedOut))
    }

    async fn examine_on(&self, connection: &mut C) -> Result<Examined, Fault> {
        let server = Arc::new(connection.inspect().await.map_err(Fault::Refused)?);
        let mut examined = Examined {
            cannot_prepare: self.cannot_prepare(&server),
            pool_size: self.pool.max_size(),
            not_durable: server.not_durable.clone(),
            server: Arc::clone(&server),
            unusable: None,
            database: None,
        };
        let mut terms = self.terms(UnitId::generate(), server);
        terms.read_only = true;
        terms.allow_not_durable = false;
        // As a unit would ask: its begin attaches the files of a group, for one.
        if let Err(error) = connection.begin(&terms).await {
            examined.unusable = Some(Fault::Refused(error));
            return Ok(examined);
        }
        let mut database = connection.identify(&terms).await;
        if let Err(Fault::NotDurable { setting }) = database {
            examined.not_durable = Some(setting);
            terms.allow_not_durable = true;
            database = connection.identify(&terms).await;
        }
        examined.database = Some(database);
        Ok(examined)
    }

    /// Terms of a transaction as the entry alone knows them.
    pub(crate) fn terms(&self, unit: UnitId, server: Arc<Server>) -> crate::backend::Terms {
        crate::backend::Terms {
            bind: self.key,
            namespace: Arc::clone(&self.namespace),
            unit,
            read_only: self.options.read_only,
            joined: self.joins(),
            sandboxed: self.joins(),
            settings: self.options.settings,
            two_phase: !self.alone
                && !self.options.read_only
                && self.cannot_prepare(&server).is_none(),
            tagged: false,
            verify_reads: !self.alone && !self.options.trust_reads,
            savepoints: 0,
            lock_timeout: self.timeouts.lock,
            idle_timeout: self.timeouts.idle,
            time_left: None,
            allow_not_durable: self.options.allow_not_durable,
            server,
            attached: Arc::clone(&self.attached),
            begun: crate::backend::Begun::default(),
        }
    }
}

/// What a look at one database found.
pub(crate) struct Examined {
    pub(crate) server: Arc<Server>,
    pub(crate) cannot_prepare: Option<String>,
    pub(crate) pool_size: usize,
    /// The setting that makes a confirmed commit forgettable, if any.
    pub(crate) not_durable: Option<String>,
    /// Why no transaction can begin, if so.
    pub(crate) unusable: Option<Fault>,
    /// The id of the database, unless nothing can be asked of it.
    pub(crate) database: Option<Result<DatabaseId, Fault>>,
}

/// An entry of any connection type.
pub(crate) trait AnyEntry: Database {
    fn backend(&self) -> Backend;
    fn allows_not_durable(&self) -> bool;
    /// It may leave something to recover, or to delete.
    fn needs_recovery(&self) -> bool;
    /// Whether an error says that a transaction was given up for the sake of others.
    fn is_conflict(&self, error: &diesel::result::Error) -> bool;
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
    fn install(&self) -> BoxFuture<'_, Result<(), Error>>;
    fn examine(&self) -> BoxFuture<'_, Result<Examined, Fault>>;
    fn close(&self);
    /// The same bind, on a connection of which nothing is ever kept.
    #[cfg(feature = "testing")]
    fn enclose(&self) -> BoxFuture<'_, Result<Arc<dyn AnyEntry>, NotStarted>>;
    /// What keeps all of its units from being kept.
    #[cfg(feature = "testing")]
    fn enclosure(&self) -> Option<&dyn crate::registry::sandbox::AnyEnclosure>;
}

impl<C: Connection> AnyEntry for Entry<C> {
    fn backend(&self) -> Backend {
        C::BACKEND
    }

    fn allows_not_durable(&self) -> bool {
        self.options.allow_not_durable
    }

    fn needs_recovery(&self) -> bool {
        let may_prepare = !self.alone
            && C::BACKEND != Backend::Sqlite
            && !self.options.never_prepare
            && !self.options.read_only;
        may_prepare || self.options.record_every_commit
    }

    fn is_conflict(&self, error: &diesel::result::Error) -> bool {
        C::is_conflict(error)
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }

    fn install(&self) -> BoxFuture<'_, Result<(), Error>> {
        self.install().boxed()
    }

    fn examine(&self) -> BoxFuture<'_, Result<Examined, Fault>> {
        self.examine().boxed()
    }

    fn close(&self) {
        self.pool.close();
    }
    #[cfg(feature = "testing")]
    fn enclose(&self) -> BoxFuture<'_, Result<Arc<dyn AnyEntry>, NotStarted>> {
        async move { Ok(Arc::new(self.enclose().await?) as Arc<dyn AnyEntry>) }.boxed()
    }

    #[cfg(feature = "testing")]
    fn enclosure(&self) -> Option<&dyn crate::registry::sandbox::AnyEnclosure> {
        self.enclosure.as_ref().map(|enclosure| enclosure as _)
    }
}
