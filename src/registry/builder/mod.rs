//! The builder of the registry. A bind is given with its `source`, or by its key in the `manifest`; `hooks`,
//! `migrations` and `trace` add to it. `resolve` looks the sources up, `mistakes` finds every mistake, and `build`
//! makes the registry.

// Files, each of which imports only from those before it: `pending`, `source`, `manifest`, `resolve`, `mistakes`,
// `build`, `hooks`, `migration_sets`, `migrations`, `trace`.

mod build;
mod hooks;
#[cfg(feature = "manifest")]
mod manifest;
#[cfg(feature = "migrations")]
mod migration_sets;
#[cfg(feature = "migrations")]
mod migrations;
mod mistakes;
mod pending;
mod resolve;
mod source;
mod trace;

use std::any::Any;
use std::fmt;
use std::time::Duration;

use crate::backend::Dialect as _;
use crate::bind::Bind;
#[cfg(feature = "manifest")]
use crate::config::Manifest;
use crate::config::{RecoveryOptions, Timeouts};
use crate::registry::problem::BuildProblem;
use crate::trace::TraceOptions;

use self::pending::{BindId, BuilderArgument, Pending, Placement};
pub use self::source::{IntoSource, Source};

/// The longest time limit, because the range of clocks is limited.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The builder of a registry, which collects the binds of an application. See
/// [`Binds::builder`](crate::Binds::builder).
#[must_use = "nothing is registered before `build()`"]
pub struct BindsBuilder {
    namespace: Option<String>,
    timeouts: Timeouts,
    recovery: RecoveryOptions,
    trace: TraceOptions,
    given: Vec<BuilderArgument>,
    problems: Vec<BuildProblem>,
    /// Hooks of the binds, each of its connection type.
    after_begin: Vec<(BindId, Box<dyn Any + Send>)>,
    #[cfg(feature = "manifest")]
    manifest: Option<Manifest>,
    #[cfg(feature = "migrations")]
    migrations: self::migration_sets::GivenMigrations,
}

impl BindsBuilder {
    pub(super) fn new() -> Self {
        Self {
            namespace: None,
            timeouts: Timeouts::default(),
            recovery: RecoveryOptions::default(),
            trace: TraceOptions::default(),
            given: Vec::new(),
            problems: Vec::new(),
            after_begin: Vec::new(),
            #[cfg(feature = "manifest")]
            manifest: None,
            #[cfg(feature = "migrations")]
            migrations: self::migration_sets::GivenMigrations::default(),
        }
    }

    /// Sets the name of the application, which is part of the names of its prepared transactions. Recovery finishes
    /// only transactions with this name.
    ///
    /// `[a-z0-9_-]`, at most 31 bytes. Has no default, because two applications on one server must not have the same
    /// name. Required if a bind that may prepare is registered beside another bind with a pool of its own, or if a bind
    /// [records every commit](crate::BindOptions::record_every_commit).
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Registers a bind with the [`Source`] of its connections, or with a pool of deadpool or bb8.
    ///
    /// ```no_run
    /// # #[cfg(all(feature = "sqlite", feature = "deadpool"))]
    /// # mod example {
    /// # use diesel_binds::{AsyncSqliteConnection, Bind, BindsBuilder, Source};
    /// # #[derive(Bind)]
    /// # #[bind(key = "accounts", connection = AsyncSqliteConnection)]
    /// # pub struct Accounts;
    /// # fn example(builder: BindsBuilder) -> BindsBuilder {
    /// builder.bind(Accounts, Source::url("accounts.db"))
    /// # }
    /// # }
    /// ```
    pub fn bind<B: Bind>(mut self, _: B, source: impl IntoSource<B::Connection>) -> Self {
        let (id, backend) = (BindId::of::<B>(), B::Connection::BACKEND);
        let placed = source.into_source().place(id.key);
        let placement = Placement::or_broken(placed, &mut self.problems);
        self.given.push(BuilderArgument::Bind(Pending {
            id,
            backend,
            placement,
        }));
        self
    }

    /// Sets the longest time that a session waits for a connection, whatever its pool allows. Defaults to 30 seconds.
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.checkout = timeout.min(LONGEST);
        self
    }

    /// Sets the longest time that a statement waits for a lock on PostgreSQL, if the connection has no limit. Defaults
    /// to 10 seconds.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.refuse_zero("lock_timeout", timeout);
        self.timeouts.lock = timeout;
        self
    }

    /// Sets the longest time that a transaction may be idle on PostgreSQL, if the connection has no limit. Then the
    /// server rolls it back. Should be longer than every deadline. Defaults to 10 minutes.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.refuse_zero("idle_timeout", timeout);
        self.timeouts.idle = timeout;
        self
    }

    fn refuse_zero(&mut self, option: &'static str, timeout: Duration) {
        if timeout.is_zero() {
            self.problems.push(BuildProblem::NoLimit { option });
        }
    }

    /// Sets the longest time of one step of a commit, after which the server counts as lost. Defaults to 30 seconds.
    pub fn step_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.step = timeout.min(LONGEST);
        self
    }

    /// Sets the longest time for which a commit asks a lost holder for the outcome, before the unit is reported as in
    /// doubt. Defaults to 10 seconds.
    pub fn resolve_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.resolve = timeout.min(LONGEST);
        self
    }

    /// Configures the recovery of units that a process left prepared. Defaults to a worker in this process, which calls
    /// [`Recovery::run`](crate::Recovery::run) repeatedly.
    ///
    /// The worker exists if a bind may prepare or records every commit. It starts with [`build`](Self::build) within a
    /// tokio runtime, otherwise with the first query of a session. It ends with [`Binds::close`](crate::Binds::close),
    /// or when all [`Binds`](crate::Binds) and sessions are gone. It takes no connection of the pools. Several
    /// processes may each have one.
    pub fn recovery(mut self, options: RecoveryOptions) -> Self {
        self.recovery = options;
        self
    }
}

impl fmt::Debug for BindsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindsBuilder")
            .field("namespace", &self.namespace)
            .field("binds", &self.given)
            .finish_non_exhaustive()
    }
}
