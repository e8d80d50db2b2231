//! What the registry is made of. `manifest` and `environment` are other ways to register a bind, `hooks`, `migrations`
//! and `trace` go with it, and `add` notes each; `mistakes` finds every mistake, and `build` makes the registry.

// Files, each of which imports only from those before it: `pending`, `add`, `build`, `environment`, `hooks`,
// `manifest`, `migration_sets`, `migrations`, `mistakes`, `trace`.

mod add;
mod build;
mod environment;
mod hooks;
#[cfg(feature = "manifest")]
mod manifest;
#[cfg(feature = "migrations")]
mod migration_sets;
#[cfg(feature = "migrations")]
mod migrations;
mod mistakes;
mod pending;
mod trace;

use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::Dialect as _;
use crate::bind::Bind;
#[cfg(feature = "manifest")]
use crate::config::Manifest;
use crate::config::{BindOptions, Pooling, RecoveryOptions, Setup, Timeouts};
use crate::pool::{FromUrl, IntoPool};
use crate::registry::problem::BuildProblem;
use crate::trace::TraceOptions;

use self::pending::{Pending, Place, Who};

/// As long as anything may take: clocks have an end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Collects the binds of an application. See [`Binds::builder`](crate::Binds::builder).
#[must_use = "nothing is registered before `build()`"]
pub struct BindsBuilder {
    namespace: Option<String>,
    timeouts: Timeouts,
    recovery: RecoveryOptions,
    trace: TraceOptions,
    binds: Vec<Pending>,
    problems: Vec<BuildProblem>,
    /// Hooks of the binds, each of its connection type.
    after_begin: Vec<(Who, Box<dyn Any + Send>)>,
    /// The variables that URLs were read from, and for which binds.
    variables: Vec<(&'static str, String)>,
    #[cfg(feature = "manifest")]
    manifest: Option<Manifest>,
    #[cfg(feature = "migrations")]
    migrations: self::migration_sets::Given,
}

impl BindsBuilder {
    pub(super) fn new() -> Self {
        Self {
            namespace: None,
            timeouts: Timeouts::default(),
            recovery: RecoveryOptions::default(),
            trace: TraceOptions::default(),
            binds: Vec::new(),
            problems: Vec::new(),
            after_begin: Vec::new(),
            variables: Vec::new(),
            #[cfg(feature = "manifest")]
            manifest: None,
            #[cfg(feature = "migrations")]
            migrations: self::migration_sets::Given::default(),
        }
    }

    /// The name of the application, in the ids of its prepared transactions: recovery touches no others.
    ///
    /// `[a-z0-9_-]`, at most 31 bytes. Has no default, because two applications on one server must not have the same.
    /// Needed as soon as several binds may commit as one.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// Registers a bind with a pool of deadpool or bb8.
    pub fn bind<B: Bind>(self, pool: impl IntoPool<B::Connection>) -> Self {
        self.bind_with::<B>(pool, BindOptions::default())
    }

    /// Registers a bind with a pool, and says how it takes part.
    pub fn bind_with<B: Bind>(
        mut self,
        pool: impl IntoPool<B::Connection>,
        options: BindOptions,
    ) -> Self {
        self.add::<B>(pool.into_pool(), options);
        self
    }

    /// Registers a bind with a URL; its pool is of deadpool where that feature is on, else of bb8 (which must be made
    /// within a runtime).
    pub fn bind_url<B: Bind>(self, url: impl AsRef<str>) -> Self
    where
        B::Connection: FromUrl,
    {
        self.bind_url_with::<B>(url, Pooling::default(), BindOptions::default())
    }

    /// Registers a bind with a URL, and says how its pool is and how it takes part.
    pub fn bind_url_with<B: Bind>(
        mut self,
        url: impl AsRef<str>,
        pooling: Pooling,
        options: BindOptions,
    ) -> Self
    where
        B::Connection: FromUrl,
    {
        self.add_url::<B::Connection>(Who::of::<B>(), url.as_ref(), None, &pooling, options);
        self
    }

    /// Registers a bind with a URL and the function that opens a connection by it: with TLS, for instance.
    pub fn bind_with_setup<B, F>(
        mut self,
        url: impl AsRef<str>,
        setup: F,
        pooling: Pooling,
        options: BindOptions,
    ) -> Self
    where
        B: Bind,
        B::Connection: FromUrl,
        F: for<'a> Fn(
                &'a str,
            ) -> futures_util::future::BoxFuture<
                'a,
                diesel::ConnectionResult<B::Connection>,
            > + Send
            + Sync
            + 'static,
    {
        let setup: Arc<Setup<B::Connection>> = Arc::new(setup);
        self.add_url(Who::of::<B>(), url.as_ref(), Some(setup), &pooling, options);
        self
    }

    /// Registers a bind with the URL in the environment: `ACCOUNTS_DATABASE_URL` for the key `accounts`, or the variable
    /// that the manifest names (`manifest`).
    pub fn bind_env<B: Bind>(mut self) -> Self
    where
        B::Connection: FromUrl,
    {
        match self.url_in_environment(Who::of::<B>(), B::Connection::BACKEND) {
            Ok(url) => self.bind_url::<B>(url),
            Err(problem) => {
                self.broken(Who::of::<B>(), B::Connection::BACKEND, problem);
                self
            }
        }
    }

    /// Registers a bind whose tables are in the database of `With`: both share one connection in each session, and so
    /// one transaction.
    ///
    /// Saves a connection and a prepare, and keeps a unit from waiting for its own locks.
    pub fn same_as<B, With>(mut self) -> Self
    where
        B: Bind<Connection = With::Connection>,
        With: Bind,
    {
        let place = Place::Shared {
            with: Who::of::<With>(),
            path: None,
        };
        self.push(Who::of::<B>(), B::Connection::BACKEND, place);
        self
    }

    /// Registers a bind whose SQLite file is attached to the connection of `To`, under its key: both files commit as
    /// one, by SQLite itself.
    ///
    /// Needs a rollback journal, and `synchronous` not `OFF`: otherwise a crash tears the two, so that is refused when a
    /// transaction begins. So are two files that have a table of the same name, because a query would reach one of them
    /// by accident.
    ///
    /// The schema of the file is the key of the bind. SQLite finds a table in whichever file has it, but creates one
    /// where it is told to: `CREATE TABLE ledger.entries (…)`; without the schema it lands in the file of `To`. Errors
    /// and reports name the key of `To`, whose connection it is.
    #[cfg(feature = "sqlite")]
    pub fn attach<B, To>(mut self, path: impl Into<String>) -> Self
    where
        B: Bind<Connection = To::Connection>,
        To: Bind,
    {
        let (who, to) = (Who::of::<B>(), Who::of::<To>());
        self.add_attached(who, to, To::Connection::BACKEND, &path.into());
        self
    }

    /// How long a session waits for a connection at most, whatever its pool allows. Defaults to 30 seconds.
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.checkout = timeout.min(LONGEST);
        self
    }

    /// How long a statement waits for a lock on PostgreSQL, where the connection has no limit. Defaults to 10 seconds.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.refuse_zero("lock_timeout", timeout);
        self.timeouts.lock = timeout;
        self
    }

    /// How long a transaction may be idle on PostgreSQL, where the connection has no limit: then the server rolls it
    /// back. Should be longer than every deadline. Defaults to 10 minutes.
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

    /// How long one step of a commit may take before the server counts as lost. Defaults to 30 seconds.
    pub fn step_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.step = timeout.min(LONGEST);
        self
    }

    /// How long a commit asks a holder that it lost for the outcome, before the unit is reported as in doubt. Defaults
    /// to 10 seconds.
    pub fn resolve_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.resolve = timeout.min(LONGEST);
        self
    }

    /// Says how units that a process left prepared are finished. Defaults to a worker in this process, which calls
    /// [`Binds::recover`](crate::Binds::recover) again and again.
    ///
    /// There is one as soon as a bind may prepare. It starts with [`build`](Self::build) within a tokio runtime, else
    /// with the first query of a session, and ends with [`Binds::close`](crate::Binds::close), or when all
    /// [`Binds`](crate::Binds) and sessions are gone. It takes no connection of the pools. Several processes may each
    /// have one.
    pub fn recovery(mut self, options: RecoveryOptions) -> Self {
        self.recovery = options;
        self
    }
}

impl fmt::Debug for BindsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BindsBuilder")
            .field("namespace", &self.namespace)
            .field(
                "binds",
                &self
                    .binds
                    .iter()
                    .map(|bind| bind.who.key)
                    .collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}
