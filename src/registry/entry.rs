//! One database of the registry: its pool, its settings, and what its server said of itself.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::time::timeout;

use crate::backend::{Attached, Backend, Connection, Server};
use crate::commit::Fault;
use crate::config::{BindOptions, Setup, Timeouts};
use crate::error::{Error, PoolError};
use crate::gid::{DatabaseId, UnitClock, UnitId};
use crate::pool::{Pool, Pooled};
#[cfg(feature = "testing")]
use crate::registry::enclosure::Enclosure;
use crate::trace::PoolMetrics;

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
    pub(crate) alone: bool,
    pub(crate) timeouts: Timeouts,
    /// What stamps units, set by the servers.
    pub(crate) clock: Arc<UnitClock>,
    pub(super) server: Mutex<Option<Arc<Server>>>,
    /// What it said on a connection that is none of the pool's.
    pub(super) server_apart: Mutex<Option<Arc<Server>>>,
    pub(super) identity: Mutex<Identity>,
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
            clock: Arc::new(UnitClock::new(Duration::MAX)),
            server: Mutex::new(None),
            server_apart: Mutex::new(None),
            identity: Mutex::default(),
            #[cfg(feature = "testing")]
            enclosure: None,
        }
    }

    /// The same, with how its connections are opened, where the application said so.
    pub(super) fn opened_by(mut self, setup: Option<Arc<Setup<C>>>) -> Self {
        self.setup = setup;
        self
    }

    /// The same, with the clock of its registry.
    pub(super) fn stamped_by(mut self, clock: Arc<UnitClock>) -> Self {
        self.clock = clock;
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
        lock(&self.server).clone()
    }

    /// The same, for a connection that is none of the pool's: what that says of itself holds for no other.
    pub(super) async fn server_apart(
        &self,
        connection: &mut C,
    ) -> diesel::QueryResult<Arc<Server>> {
        if let Some(server) = self.server_anywhere() {
            return Ok(server);
        }
        let server = self.inspect(connection).await?;
        *lock(&self.server_apart) = Some(Arc::clone(&server));
        Ok(server)
    }

    /// What the server said of itself on any connection.
    pub(super) fn server_anywhere(&self) -> Option<Arc<Server>> {
        self.known_server()
            .or_else(|| lock(&self.server_apart).clone())
    }

    /// What the server said of itself, asked on `connection` of the pool if nobody asked before.
    pub(crate) async fn server(&self, connection: &mut C) -> diesel::QueryResult<Arc<Server>> {
        if let Some(server) = self.known_server() {
            return Ok(server);
        }
        let server = self.inspect(connection).await?;
        *lock(&self.server) = Some(Arc::clone(&server));
        Ok(server)
    }

    /// Notes when the server of a connection was started, if that is known: what `known` said of itself before is old
    /// then, and the next unit asks again.
    pub(crate) fn note_start(&self, known: &Server, started: Option<i64>) {
        if let (Some(started), Some(lineage)) = (started, &known.lineage)
            && Some(started) != lineage.started
        {
            self.forget_server();
        }
    }

    /// Forgets what the server said of itself: another one is in its place. The next unit asks again.
    pub(super) fn forget_server(&self) {
        *lock(&self.server) = None;
        *lock(&self.server_apart) = None;
        self.forget_identity();
    }

    /// Asks the server about itself, and sets the clock by it.
    pub(super) async fn inspect(&self, connection: &mut C) -> diesel::QueryResult<Arc<Server>> {
        let server = connection.inspect().await?;
        if let Some(time) = server.time {
            self.clock.set(time);
        }
        Ok(Arc::new(server))
    }

    /// Why nothing can be prepared here, if so.
    pub(crate) fn cannot_prepare<'s>(&self, server: &'s Server) -> Option<&'s str> {
        if self.options.never_prepare {
            return Some("`never_prepare` is set");
        }
        if C::BACKEND == Backend::Mysql && self.options.trust_mysql_xa {
            return None;
        }
        server.cannot_prepare.as_deref()
    }

    /// Whether a statement that was abandoned may be cancelled.
    pub(crate) fn may_cancel(&self, server: &Server) -> bool {
        // Of PostgreSQL that has not been asked, nobody knows what stands before it.
        let is_known = C::BACKEND != Backend::Postgres || server.lineage.is_some();
        is_known && !self.options.never_cancel && !server.pooled
    }

    /// The id of the database, if it was read a short while ago.
    pub(crate) fn database(&self) -> Option<DatabaseId> {
        let (id, read) = lock(&self.identity).read?;
        (read.elapsed() < HOLDS).then_some(id)
    }

    /// Notes whose database it is, and what its server makes of commits.
    pub(crate) fn note_identity(&self, database: DatabaseId, replicated: Option<bool>) {
        let mut identity = lock(&self.identity);
        identity.read = Some((database, Instant::now()));
        let replicated = replicated.unwrap_or_default();
        if identity.is_replicated && !replicated {
            tracing::warn!(
                bind = self.key,
                "commits wait for no standby or replica any more: what is confirmed from now on is lost with the server"
            );
        }
        identity.is_replicated = replicated;
        identity.was_replicated |= replicated;
    }

    /// Whether its commits waited for a standby or replica when a unit asked before.
    pub(super) fn was_replicated(&self) -> bool {
        lock(&self.identity).was_replicated
    }

    /// Forgets whose database it is: the next unit of several writers asks again.
    pub(crate) fn forget_identity(&self) {
        lock(&self.identity).read = None;
    }

    /// Opens a connection that the pool does not count, within `limit`.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<C, Fault> {
        match timeout(limit, self.pool.connect()).await {
            Ok(connection) => connection.map_err(Fault::Connect),
            Err(_) => Err(Fault::TimedOut),
        }
    }

    pub(super) async fn install(&self) -> Result<(), Error> {
        let bind = self.key;
        let pool = |source| Error::Pool { bind, source };
        let mut connection = timeout(self.timeouts.checkout, self.pool.connect())
            .await
            .map_err(|_| pool(PoolError::TimedOut(self.timeouts.checkout)))?
            .map_err(|error| pool(PoolError::Connect(error)))?;
        let query = |source| Error::Query { bind, source };
        connection.install().await.map_err(query)?;
        // What was there before stays as it was, and need not be what the migration makes.
        let server = self.server(&mut connection).await.map_err(query)?;
        let identified = connection.identity(&server.schema).await;
        identified
            .map(drop)
            .map_err(|source| Error::Tables { bind, source })
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
            hooked: !self.after_begin.is_empty(),
            settings: self.options.settings,
            two_phase: !self.alone
                && !self.options.read_only
                && self.cannot_prepare(&server).is_none(),
            tagged: false,
            verify_reads: (!self.alone || self.options.record_every_commit)
                && !self.options.trust_reads,
            savepoints: 0,
            lock_timeout: self.timeouts.lock,
            idle_timeout: self.timeouts.idle,
            time_left: None,
            allow_not_durable: self.options.allow_not_durable,
            require_replication: self.options.require_synchronous_replication,
            server,
            attached: Arc::clone(&self.attached),
            begun: crate::backend::Begun::default(),
        }
    }
}

/// For how long it is believed whose database it is, and what its server makes of commits.
const HOLDS: Duration = Duration::from_secs(30);

/// Whose database a bind leads to, as far as that was asked.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// Its id, and when that was read.
    read: Option<(DatabaseId, Instant)>,
    /// Its commits waited for a standby or replica when it was asked last.
    is_replicated: bool,
    /// They did at any time.
    was_replicated: bool,
}

fn lock<T>(known: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    known.lock().unwrap_or_else(PoisonError::into_inner)
}
