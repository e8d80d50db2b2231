//! One database of the registry: its pool, its settings, and the properties of its server.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::time::timeout;

use crate::backend::{Attached, Connection, KeptWrites, Role, Server};
use crate::commit::Fault;
use crate::config::{BindOptions, Cleaning, Setup, Timeouts};
use crate::error::{Error, PoolError};
use crate::gid::{DatabaseId, Gid, UnitClock, UnitId};
use crate::pool::{Pool, Pooled};
use crate::registry::sandbox_port::AnyEnclosure;
use crate::registry::used::UsedServers;
use crate::tls::TlsSetting;
use crate::trace::PoolMetrics;

/// A hook of the application at the begin of each transaction.
pub(crate) type AfterBegin<C> =
    Box<dyn for<'c> Fn(&'c mut C) -> BoxFuture<'c, diesel::QueryResult<()>> + Send + Sync>;

/// One database of the registry.
pub(crate) struct Entry<C> {
    pub(crate) key: &'static str,
    pub(crate) pool: Box<dyn Pool<C>>,
    pub(crate) metrics: PoolMetrics,
    pub(crate) options: BindOptions,
    /// The application's function for opening connections, if it gave one.
    #[cfg_attr(
        not(feature = "testing"),
        allow(dead_code, reason = "only a sandbox opens a connection by it")
    )]
    pub(super) setup: Option<Arc<Setup<C>>>,
    /// How connections are encrypted; `None` if the application opens them.
    pub(crate) tls: Option<TlsSetting>,
    pub(crate) after_begin: Arc<[AfterBegin<C>]>,
    pub(crate) attached: Arc<[Attached]>,
    pub(crate) namespace: Arc<str>,
    /// `true` if no other bind can take part in its units, so that nothing is ever prepared.
    pub(crate) is_only_bind: bool,
    /// The writes that stay prepared, unless that is off.
    pub(crate) kept_writes: Option<Arc<KeptWrites>>,
    pub(crate) timeouts: Timeouts,
    /// The clock that stamps units, set by the servers.
    pub(crate) clock: Arc<UnitClock>,
    pub(super) server: Mutex<Option<Known>>,
    /// The properties of the server, read on a connection outside of the pool.
    pub(super) server_outside_pool: Mutex<Option<Arc<Server>>>,
    pub(super) identity: Mutex<Identity>,
    /// The servers that recovery compares the answering one with. Leaving a server does not forget it.
    pub(super) used: Mutex<UsedServers>,
    /// When the server was last left because it refused a write.
    pub(super) left: Mutex<Option<Instant>>,
    /// The number of times that the server was left.
    pub(super) leaves: AtomicUsize,
    /// The enclosure that prevents every commit of a unit, in a sandbox.
    pub(super) enclosure: Option<Box<dyn AnyEnclosure>>,
}

/// The arguments of an entry that do not depend on the type of its connection.
pub(super) struct EntryArguments {
    pub(super) options: BindOptions,
    /// Hooks, each of the connection type of the entry.
    pub(super) after_begin: Vec<Box<dyn Any + Send>>,
    pub(super) namespace: Arc<str>,
    pub(super) is_only_bind: bool,
    pub(super) timeouts: Timeouts,
    pub(super) clock: Arc<UnitClock>,
}

impl<C: Connection> Entry<C> {
    pub(super) fn new(
        key: &'static str,
        pool: Box<dyn Pool<C>>,
        setup: Option<Arc<Setup<C>>>,
        tls: Option<TlsSetting>,
        arguments: EntryArguments,
    ) -> Self {
        let is_own_pool = setup.is_some() || tls.is_some();
        let keeps_writes = keeps_writes::<C>(&arguments.options, is_own_pool);
        let attached = arguments.options.attached.iter();
        let attached = attached.map(|(key, path)| Attached {
            key,
            path: path.clone(),
        });
        let after_begin = arguments.after_begin.into_iter().map(|hook| {
            *hook
                .downcast::<AfterBegin<C>>()
                .expect("a hook is given for a bind, which has one connection type")
        });
        Self {
            key,
            metrics: PoolMetrics::new(key, pool.max_size()),
            pool,
            setup,
            tls,
            after_begin: after_begin.collect(),
            attached: attached.collect(),
            kept_writes: keeps_writes.then(|| Arc::new(KeptWrites::new())),
            options: arguments.options,
            namespace: arguments.namespace,
            is_only_bind: arguments.is_only_bind,
            timeouts: arguments.timeouts,
            clock: arguments.clock,
            server: Mutex::new(None),
            server_outside_pool: Mutex::new(None),
            identity: Mutex::default(),
            used: Mutex::default(),
            left: Mutex::default(),
            leaves: AtomicUsize::new(0),
            enclosure: None,
        }
    }

    /// Returns whether its units are savepoints in a transaction that never commits.
    pub(crate) fn is_within_outer(&self) -> bool {
        self.enclosure()
            .is_some_and(|enclosure| enclosure.is_within_outer())
    }

    /// Returns whether it is in a sandbox whose transaction is gone: no unit can follow.
    pub(crate) fn is_lost(&self) -> bool {
        self.enclosure()
            .is_some_and(|enclosure| enclosure.is_lost())
    }

    /// Starts or stops logging statements as the application's own.
    pub(crate) fn log_statements(&self, is_active: bool) {
        if let Some(enclosure) = self.enclosure() {
            enclosure.log_statements(is_active);
        }
    }

    /// Returns the error of a unit that got no connection.
    pub(crate) fn not_checked_out(&self, source: PoolError) -> Error {
        match self.enclosure() {
            Some(enclosure) => enclosure.not_checked_out(source),
            None => Error::Pool {
                bind: self.key,
                source,
            },
        }
    }

    /// Returns the error of a unit that could not begin.
    pub(crate) fn not_begun(&self, source: diesel::result::Error) -> Error {
        match self.enclosure() {
            Some(enclosure) => enclosure.not_begun(source),
            None => Error::Begin {
                bind: self.key,
                source,
            },
        }
    }

    /// Returns the enclosure, if the entry is in a sandbox.
    pub(super) fn enclosure(&self) -> Option<&dyn AnyEnclosure> {
        self.enclosure.as_deref()
    }

    /// Checks a connection out of the pool, within `limit` and the limit of the pool.
    pub(crate) async fn checkout(&self, limit: Duration) -> Result<Box<dyn Pooled<C>>, PoolError> {
        let waiting = self.metrics.wait();
        let checkout = match timeout(limit, self.pool.checkout()).await {
            Ok(result) => result,
            Err(_) => Err(PoolError::TimedOut(limit)),
        };
        match &checkout {
            Ok(_) => waiting.done(),
            Err(PoolError::TimedOut(_)) => waiting.timed_out(),
            Err(_) => {}
        }
        checkout
    }

    /// Returns the properties of the server, if they were read before, and are still believed.
    pub(crate) fn known_server(&self) -> Option<Arc<Server>> {
        let known = self.server.lock();
        known.as_ref().and_then(Known::believed)
    }

    /// Returns the properties of the server, for a connection outside of the pool. Its session settings hold for no
    /// other connection.
    pub(super) async fn server_outside_pool(
        &self,
        connection: &mut C,
    ) -> diesel::QueryResult<Arc<Server>> {
        if let Some(server) = self.known_server_anywhere() {
            return Ok(server);
        }
        let server = self.inspect(connection).await?;
        *self.server_outside_pool.lock() = Some(Arc::clone(&server));
        Ok(server)
    }

    /// Returns the properties of the server, read on any connection.
    pub(super) fn known_server_anywhere(&self) -> Option<Arc<Server>> {
        self.known_server()
            .or_else(|| self.server_outside_pool.lock().clone())
    }

    /// Returns the properties of the server. Reads them on `connection` of the pool if necessary.
    pub(crate) async fn server(&self, connection: &mut C) -> diesel::QueryResult<Arc<Server>> {
        if let Some(server) = self.known_server() {
            return Ok(server);
        }
        let server = self.inspect(connection).await?;
        // The next unit has a new connection. If that one cannot prepare either, the application has set it up so.
        if server.role == Role::OfOldConnections && self.leave_at_most_each(BELIEVED_FOR) {
            return Ok(server);
        }
        *self.server.lock() = Some(Known::now(&server));
        Ok(server)
    }

    /// Notes the start time of a connection's server, if it is known. If it differs from that in `known`, the
    /// properties are outdated, and the next unit reads them again.
    pub(crate) fn note_start(&self, known: &Server, started: Option<i64>) {
        if let (Some(started), Some(lineage)) = (started, &known.lineage)
            && Some(started) != lineage.started
        {
            self.leave_server();
        }
    }

    /// Notes the properties of the server as they are now. If it has another role than units know of, the next unit reads
    /// them again, on a new connection.
    pub(super) fn note_role(&self, now: &Server) {
        let known = self.known_server_anywhere();
        if known.is_some_and(|known| known.cannot_prepare.is_some() != now.cannot_prepare.is_some())
        {
            self.leave_server();
        }
    }

    /// Leaves a server that refuses writes, unless that was done a moment ago: it may go on refusing, and units that read
    /// would find no connection. Returns whether it was left.
    pub(crate) fn leave_demoted_server(&self) -> bool {
        self.leave_at_most_each(LEFT_FOR)
    }

    fn leave_at_most_each(&self, pause: Duration) -> bool {
        let mut left = self.left.lock();
        if left.is_some_and(|left| left.elapsed() < pause) {
            return false;
        }
        *left = Some(Instant::now());
        drop(left);
        self.leave_server();
        true
    }

    /// Forgets the properties of the server, and closes the connections of the pool, those in use when they come back:
    /// another server may answer now, or this one has other settings.
    pub(crate) fn leave_server(&self) {
        self.leaves.fetch_add(1, Ordering::Relaxed);
        self.forget_server();
        self.pool.close_idle();
    }

    /// Returns how often the server was left. A connection that was opened before the last time is not used again.
    pub(crate) fn leaves(&self) -> usize {
        self.leaves.load(Ordering::Relaxed)
    }

    /// Forgets the properties of the server, because another one has replaced it. The next unit reads them again.
    fn forget_server(&self) {
        *self.server.lock() = None;
        *self.server_outside_pool.lock() = None;
        self.forget_identity();
    }

    /// Reads the properties of the server, and sets the clock by it.
    pub(super) async fn inspect(&self, connection: &mut C) -> diesel::QueryResult<Arc<Server>> {
        let server = connection.inspect().await?;
        if let Some(time) = server.time {
            self.clock.set(time);
        }
        Ok(Arc::new(server))
    }

    /// Returns the reason why nothing can be prepared here, if so.
    pub(crate) fn cannot_prepare<'s>(&self, server: &'s Server) -> Option<&'s str> {
        if self.options.never_prepare {
            return Some("`never_prepare` is set");
        }
        if self.options.require_synchronous_replication && !C::PREPARE_IS_REPLICATED {
            return Some(
                "`require_synchronous_replication` is set, and an `XA PREPARE` waits for no replica",
            );
        }
        server.cannot_prepare.as_deref()
    }

    /// Returns whether an abandoned statement may be cancelled.
    pub(crate) fn may_cancel(&self, server: &Server) -> bool {
        // Before the server was asked, it is not known whether a pooler is in front of it.
        let is_known = !C::MAY_BE_POOLED || server.lineage.is_some();
        is_known && !self.options.never_cancel && !server.pooled
    }

    /// Returns the id of the database, if it was read recently.
    pub(crate) fn database(&self) -> Option<DatabaseId> {
        let (id, read) = self.identity.lock().read?;
        (read.elapsed() < BELIEVED_FOR).then_some(id)
    }

    /// Notes the id of the database, and whether commits of its server wait for a standby or replica.
    pub(crate) fn note_identity(&self, database: DatabaseId, replicated: Option<bool>) {
        let mut identity = self.identity.lock();
        identity.read = Some((database, Instant::now()));
        let replicated = replicated.unwrap_or_default();
        if identity.is_replicated && !replicated {
            tracing::warn!(
                bind = self.key,
                "commits wait for no standby or replica any more: a commit that is confirmed from now on is lost with \
                 the server"
            );
        }
        identity.is_replicated = replicated;
        identity.was_replicated |= replicated;
    }

    /// Returns whether its commits waited for a standby or replica when an earlier unit asked.
    pub(super) fn was_replicated(&self) -> bool {
        self.identity.lock().was_replicated
    }

    /// Forgets the id of the database: the next unit of several writers reads it again.
    pub(crate) fn forget_identity(&self) {
        self.identity.lock().read = None;
    }

    /// Notes that a unit uses the database on this server.
    pub(crate) fn note_use(&self, database: DatabaseId, server: &Server) {
        if let Some(lineage) = &server.lineage {
            self.used.lock().note(database, lineage);
        }
    }

    /// Notes that this server has confirmed the decision of a unit.
    pub(crate) fn note_decision(&self, gid: &Gid, server: &Server) {
        if let Some(lineage) = &server.lineage {
            self.used.lock().note_decision(gid, lineage);
        }
    }

    /// Opens a connection that the pool does not count, within `limit`.
    pub(crate) async fn connect(&self, limit: Duration) -> Result<C, Fault> {
        match timeout(limit, self.pool.connect()).await {
            Ok(connection) => connection.map_err(Fault::Connect),
            Err(_) => Err(Fault::TimedOut),
        }
    }

    /// Returns the terms of a transaction, as far as the entry alone determines them.
    pub(crate) fn terms(&self, unit: UnitId, server: Arc<Server>) -> crate::backend::Terms {
        let may_record = !self.is_only_bind || self.options.record_every_commit;
        crate::backend::Terms {
            bind: self.key,
            namespace: Arc::clone(&self.namespace),
            unit,
            read_only: self.options.read_only,
            within_outer: self.is_within_outer(),
            sandboxed: self.is_within_outer(),
            settings: self.options.settings,
            two_phase: !self.is_only_bind
                && !self.options.read_only
                && self.cannot_prepare(&server).is_none(),
            tagged: false,
            may_record,
            verify_reads: may_record && !self.options.trust_reads,
            savepoints: 0,
            lock_timeout: self.timeouts.lock,
            idle_timeout: self.timeouts.idle,
            time_left: None,
            allow_not_durable: self.options.allow_not_durable,
            require_replication: self.options.require_synchronous_replication,
            server,
            attached: Arc::clone(&self.attached),
            prior: crate::backend::PriorState::default(),
        }
    }
}

/// The time between two leaves of a server that refuses writes.
const LEFT_FOR: Duration = Duration::from_secs(5);

/// The time after which settings are read again that may change while a server runs, and the id of the database.
const BELIEVED_FOR: Duration = Duration::from_secs(30);

/// The properties of the server, and when they were read.
pub(super) struct Known {
    server: Arc<Server>,
    read: Instant,
}

impl Known {
    pub(super) fn now(server: &Arc<Server>) -> Self {
        Self {
            server: Arc::clone(server),
            read: Instant::now(),
        }
    }

    /// Returns the properties, unless the server may be able to prepare by now. That it cannot any more shows at the
    /// next prepare.
    fn believed(&self) -> Option<Arc<Server>> {
        let server = &self.server;
        let may_change = server.cannot_prepare.is_some() && server.role != Role::Fixed;
        (!may_change || self.read.elapsed() < BELIEVED_FOR).then(|| Arc::clone(server))
    }
}

/// The identity of the database of a bind, as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// The id, and when it was read.
    read: Option<(DatabaseId, Instant)>,
    /// `true` if commits waited for a standby or replica at the last reading.
    is_replicated: bool,
    /// `true` if commits waited for one at any earlier reading.
    was_replicated: bool,
}

/// Returns whether repeated writes stay prepared on the connections of a pool.
fn keeps_writes<C: Connection>(options: &BindOptions, is_own_pool: bool) -> bool {
    // Elsewhere, a connection may have been in another database when a statement was prepared on it.
    let stays = is_own_pool && options.cleaning != Cleaning::Never;
    !options.prepare_writes_anew && (stays || !C::STATEMENTS_KEEP_THEIR_DATABASE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether a server is still believed that was asked some time ago.
    fn is_believed(cannot_prepare: bool, role: Role, ago: Duration) -> bool {
        let server = Arc::new(Server {
            cannot_prepare: cannot_prepare.then(|| "a setting".to_owned()),
            role,
            ..Server::default()
        });
        let read = Instant::now().checked_sub(ago).unwrap();
        Known { server, read }.believed().is_some()
    }

    #[test]
    fn a_server_that_may_prepare_by_now_is_asked_again() {
        let (soon, late) = (BELIEVED_FOR / 2, BELIEVED_FOR * 2);
        for role in [Role::Changeable, Role::OfOldConnections] {
            assert!(is_believed(true, role, soon));
            assert!(!is_believed(true, role, late));
        }
        assert!(is_believed(true, Role::Fixed, late));
        assert!(is_believed(false, Role::Changeable, late));
    }
}
