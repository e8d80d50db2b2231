//! The registry of the binds and their pools.

// Files, each of which imports only from those before it: `sandbox_port`, `enclosure`, `used`, `entry`, `ping`,
// `examine`, `any_entry`, `check`, `identity`, `in_use`, `hook_context`, `recovery_port`, `problem`, `builder`, `recovery`,
// `sandbox`.

mod any_entry;
mod builder;
mod check;
#[cfg(feature = "testing")]
mod enclosure;
mod entry;
mod examine;
mod hook_context;
mod identity;
mod in_use;
mod ping;
mod problem;
mod recovery;
mod recovery_port;
#[cfg(feature = "testing")]
mod sandbox;
mod sandbox_port;
mod used;

use std::any::TypeId;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::bind::Bind;
use crate::error::Error;
use crate::gid::UnitClock;
use crate::recovery::{RecoveryScope, Worker};
use crate::trace::TraceOptions;

pub(crate) use self::any_entry::AnyEntry;
pub use self::builder::{BindsBuilder, IntoSource, Source};
pub use self::check::{BindReport, Finding, Report, Severity};
#[cfg(feature = "testing")]
pub(crate) use self::enclosure::SandboxRules;
pub(crate) use self::entry::Entry;
pub(crate) use self::in_use::InUse;
pub use self::ping::{BindPing, PingReport};
pub use self::problem::{BuildError, BuildProblem};
pub use self::recovery::Recovery;
#[cfg(feature = "testing")]
pub(crate) use self::sandbox_port::AnyEnclosure;
pub(crate) use self::sandbox_port::AnySandbox;

/// The binds of an application, each with its pool. Creates the sessions.
///
/// Clones are cheap, and share one registry.
///
/// # Example
///
/// ```no_run
/// # #[cfg(all(feature = "sqlite", feature = "deadpool"))]
/// # mod example {
/// use diesel_binds::{AsyncSqliteConnection, Bind, Binds, Source};
///
/// #[derive(Bind)]
/// #[bind(key = "accounts", connection = AsyncSqliteConnection)]
/// pub struct Accounts;
///
/// fn binds() -> Result<Binds, diesel_binds::BuildError> {
///     Binds::builder().bind(Accounts, Source::url("accounts.db")).build()
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Binds {
    pub(crate) registry: Arc<Registry>,
}

/// The state that all sessions of one [`Binds`] share.
pub(crate) struct Registry {
    /// The entry of each bind; several binds may share one.
    index: BTreeMap<TypeId, usize>,
    pub(crate) entries: Vec<Arc<dyn AnyEntry>>,
    /// Binds that share the connection of an entry.
    sharing_binds: Vec<SharingBind>,
    pub(crate) namespace: Arc<str>,
    /// The clock that stamps units.
    pub(crate) clock: Arc<UnitClock>,
    /// The entries as the databases of recovery.
    pub(crate) scope: Arc<RecoveryScope>,
    /// The tasks in the background: commits, the roll-backs of dropped sessions, the worker.
    pub(crate) background: TaskTracker,
    worker: Worker,
    closed: AtomicBool,
    pub(crate) trace: TraceOptions,
    #[cfg(feature = "migrations")]
    migrations: Arc<crate::migrate::Sets>,
    /// The faults to inject into the commits of all sessions.
    #[cfg(feature = "testing")]
    faults: parking_lot::Mutex<Option<crate::commit::FaultPlan>>,
    /// The sandbox that this registry belongs to, if there is one.
    sandbox: Option<Arc<dyn AnySandbox>>,
}

/// A bind that uses the connection of another: in the same database, or in a file attached to it.
struct SharingBind {
    key: &'static str,
    /// The position of the entry that the bind shares.
    entry: usize,
    /// `true` if the bind is a file of its own, and not in the database of the entry.
    attached: bool,
}

impl Binds {
    /// Creates the builder of a registry.
    pub fn builder() -> BindsBuilder {
        BindsBuilder::new()
    }

    /// Builds the binds of a manifest without their types, with the URLs in the environment. No session can use them.
    /// [`check`](Self::check) and [`recovery`](Self::recovery) work. Short for [`manifest`](BindsBuilder::manifest) and
    /// [`bind_all_named`](BindsBuilder::bind_all_named).
    ///
    /// # Errors
    ///
    /// All mistakes in one error.
    #[cfg(feature = "manifest")]
    pub fn from_manifest(manifest: &crate::config::Manifest) -> Result<Self, BuildError> {
        Self::builder().manifest(manifest).bind_all_named().build()
    }

    /// Creates the tables of the commit protocol in every database, where they are missing.
    ///
    /// Call it if no migration creates them. The folder `migrations` of this crate has such a migration for each
    /// backend. The role of the pool must be allowed to create tables. May be run at any time, by several processes at
    /// once.
    ///
    /// # Errors
    ///
    /// The first failure, after all binds were tried. Tables that could be created stay. [`Error::Tables`] names an
    /// existing table on which commits cannot rely.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves some databases with the tables and some without; run it again.
    pub async fn install(&self) -> Result<(), Error> {
        join_all(self.registry.entries.iter().map(|entry| entry.install()))
            .await
            .into_iter()
            .collect()
    }

    /// Returns the migrations that were given to the builder, to run, revert or inspect them.
    ///
    /// # Example
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "sqlite", feature = "deadpool"))]
    /// # mod example {
    /// use diesel_binds::{AsyncSqliteConnection, Bind, Binds, Source};
    /// use diesel_migrations::{EmbeddedMigrations, embed_migrations};
    ///
    /// #[derive(Bind)]
    /// #[bind(key = "accounts", connection = AsyncSqliteConnection)]
    /// pub struct Accounts;
    ///
    /// const ACCOUNTS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
    ///
    /// async fn start() -> Result<Binds, Box<dyn std::error::Error>> {
    ///     let binds = Binds::builder()
    ///         .bind(Accounts, Source::url("accounts.db"))
    ///         .migrations(Accounts, ACCOUNTS)
    ///         .build()?;
    ///     let migrated = binds.migrations().run().await?;
    ///     println!("{migrated}");
    ///     Ok(binds)
    /// }
    /// # }
    /// ```
    #[cfg(feature = "migrations")]
    pub fn migrations(&self) -> crate::migrate::Migrations {
        let registry = &self.registry;
        crate::migrate::Migrations::new(
            Arc::clone(&registry.migrations),
            registry.background.clone(),
        )
    }

    /// Checks whether every bind is ready for sessions.
    ///
    /// Never fails: problems are in the [`Report`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; the future may be dropped.
    pub async fn check(&self) -> Report {
        check::check(&self.registry).await
    }

    /// Asks every database on a connection of its pool whether it answers within `limit`, for a health check that runs
    /// often. [`check`](Self::check) looks at everything that sessions need.
    ///
    /// All databases are asked at once. `limit` includes the wait for a connection: a pool that is in use longer than that
    /// is a problem too. Never fails: problems are in the [`PingReport`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the questions that are under way end by themselves, within `limit`.
    pub async fn ping(&self, limit: std::time::Duration) -> PingReport {
        ping::ping(&self.registry, limit).await
    }

    /// Accepts no new work, and waits for the tasks in the background: commits, and the roll-backs of dropped sessions.
    /// The recovery worker stops; units that it has not finished are left to the next one.
    ///
    /// Sessions that are open can still commit. Then the pools of deadpool are closed; those of bb8 end with their last
    /// handle.
    ///
    /// A hook that runs in the background, [after the commit](crate::Session::after_commit) or [after a
    /// roll-back](crate::Session::after_rollback), may call this. The call then returns at once, because the unit waits
    /// for the hook. The pools are closed in the background. If a hook starts a task that calls this function and waits
    /// for that task, the hook waits forever, unless its unit has a [deadline](crate::SessionOptions::deadline).
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: new work stays refused, and running tasks continue.
    pub async fn close(&self) {
        let registry = Arc::clone(&self.registry);
        registry.closed.store(true, Ordering::Relaxed);
        registry.worker.stop();
        registry.background.close();
        let waits_for_itself = registry.is_in_background();
        let closing = async move {
            registry.background.wait().await;
            for entry in &registry.entries {
                entry.close();
            }
        };
        if waits_for_itself {
            tracing::warn!(
                "binds are closed by a hook of a unit: its `close` waits for nothing, and the pools are closed in the \
                 background when the unit has ended"
            );
            // Not tracked, because it waits for the tracked tasks.
            tokio::spawn(closing);
        } else {
            closing.await;
        }
    }
}

impl fmt::Debug for Binds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binds")
            .field("namespace", &self.registry.namespace)
            .field(
                "binds",
                &self
                    .registry
                    .entries
                    .iter()
                    .map(|entry| (entry.key(), entry.backend()))
                    .collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}

impl Registry {
    /// Starts the recovery worker, if this registry is to have one and it does not run.
    pub(crate) fn start_worker(&self, runtime: &Handle) {
        self.worker.start(&self.scope, &self.background, runtime);
    }

    /// Returns the position of the entry of `B`.
    pub(crate) fn position<B: Bind>(&self) -> Result<usize, Error> {
        self.index
            .get(&TypeId::of::<B>())
            .copied()
            .ok_or_else(|| match self.sandbox() {
                Some(sandbox) => sandbox.undeclared(B::KEY),
                None => Error::UnknownBind { bind: B::KEY },
            })
    }

    /// Returns the sandbox that this registry belongs to, if there is one.
    pub(crate) fn sandbox(&self) -> Option<&Arc<dyn AnySandbox>> {
        self.sandbox.as_ref()
    }

    /// Returns whether this registry is a sandbox, of which nothing is ever committed.
    pub(crate) fn is_sandbox(&self) -> bool {
        self.sandbox.is_some()
    }

    /// Returns the entry of `B`.
    pub(crate) fn entry<B: Bind>(&self, position: usize) -> Arc<Entry<B::Connection>> {
        Arc::clone(&self.entries[position])
            .into_any()
            .downcast()
            .expect("the builder registers a bind with a pool of its own connection type")
    }

    /// Accepts no new work, and waits for the tasks in the background.
    #[cfg(feature = "testing")]
    pub(crate) async fn close_and_wait(&self) {
        self.closed.store(true, Ordering::Relaxed);
        self.background.close();
        // A hook of a unit that ends the sandbox would wait for itself.
        if !self.is_in_background() {
            self.background.wait().await;
        }
    }

    #[cfg(feature = "testing")]
    pub(crate) fn faults(&self) -> Option<crate::commit::FaultPlan> {
        self.faults.lock().clone()
    }

    #[cfg(feature = "testing")]
    pub(crate) fn set_faults(&self, plan: Option<crate::commit::FaultPlan>) {
        *self.faults.lock() = plan;
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}
