//! What the registry is made of. Other files add to the builder: `binds`, `manifest` and `environment` what is
//! registered, `hooks`, `migrations` and `trace` what goes with it; `mistakes` finds every mistake, and `build` makes it.

mod binds;
mod build;
mod environment;
mod hooks;
#[cfg(feature = "manifest")]
mod manifest;
#[cfg(feature = "migrations")]
mod migrations;
mod mistakes;
mod pending;
mod trace;

use std::any::Any;
use std::fmt;
use std::time::Duration;

#[cfg(feature = "manifest")]
use crate::config::Manifest;
use crate::config::{RecoveryOptions, Timeouts};
use crate::registry::problem::BuildProblem;
use crate::trace::TraceOptions;

use self::pending::{Pending, Who};

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
    /// The rule for the variable of a URL was used, which a manifest would have changed.
    environment_read: bool,
    #[cfg(feature = "manifest")]
    manifest: Option<Manifest>,
    #[cfg(feature = "migrations")]
    migrations: self::migrations::Given,
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
            environment_read: false,
            #[cfg(feature = "manifest")]
            manifest: None,
            #[cfg(feature = "migrations")]
            migrations: self::migrations::Given::default(),
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

    /// How long a session waits for a connection at most, whatever its pool allows. Defaults to 30 seconds.
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.checkout = timeout.min(LONGEST);
        self
    }

    /// How long a statement waits for a lock on PostgreSQL, where the connection has no limit. Defaults to 10 seconds.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.lock = timeout;
        self
    }

    /// How long a transaction may be idle on PostgreSQL, where the connection has no limit: then the server rolls it
    /// back. Should be longer than every deadline. Defaults to 10 minutes.
    pub fn idle_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.idle = timeout;
        self
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
