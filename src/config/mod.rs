//! Validated settings: of a bind, of its pool, of recovery, of all; and what a URL must be.

#[cfg(feature = "manifest")]
mod manifest;
mod recovery;
mod transaction;
mod url;

use std::sync::Arc;
use std::time::Duration;

#[cfg(any(feature = "deadpool", feature = "bb8"))]
use diesel_async::AsyncConnection;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};

use crate::backend::Settings;

#[cfg(feature = "manifest")]
pub use self::manifest::{
    Manifest, ManifestBind, ManifestError, ManifestNeed, ManifestPlace, ManifestProblem,
};
pub use self::recovery::RecoveryOptions;
pub use self::url::UrlProblem;
pub(crate) use self::url::check_url;

/// Opens a connection by a URL.
pub(crate) type Setup<C> = crate::backend::Open<C>;

/// The environment variable with the URL of a bind, unless a manifest names another.
pub(crate) fn default_variable(key: &str) -> String {
    format!(
        "{}_DATABASE_URL",
        key.to_uppercase().replace(['-', '/'], "_")
    )
}

/// The size and the timeouts of a pool that [`Binds`](crate::Binds) makes of a URL.
#[derive(Clone, Debug)]
pub struct Pooling {
    pub(crate) max_size: usize,
    pub(crate) checkout_timeout: Duration,
    pub(crate) connect_timeout: Duration,
}

impl Pooling {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections are open at most. A session takes one for each bind that it uses. Defaults to 10.
    #[must_use]
    pub fn max_size(mut self, connections: usize) -> Self {
        self.max_size = connections;
        self
    }

    /// How long a session waits for a connection to become free. Defaults to 10 seconds.
    #[must_use]
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.checkout_timeout = timeout;
        self
    }

    /// How long opening or checking a connection may take. Defaults to 5 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }
}

impl Default for Pooling {
    fn default() -> Self {
        Self {
            max_size: 10,
            checkout_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

/// How a bind takes part in units of several writers.
#[derive(Clone, Debug, Default)]
pub struct BindOptions {
    pub(crate) never_prepare: bool,
    pub(crate) holder: HolderPreference,
    pub(crate) trust_reads: bool,
    pub(crate) allow_not_durable: bool,
    pub(crate) trust_mysql_xa: bool,
    pub(crate) record_every_commit: bool,
    pub(crate) read_only: bool,
    pub(crate) settings: Settings,
    pub(crate) attached: Vec<(&'static str, String)>,
}

/// Whether a bind should keep the decision of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HolderPreference {
    /// As the plan says: who cannot prepare, else MySQL, else the first that wrote.
    #[default]
    Auto,
    /// Before all others that can prepare.
    Prefer,
    /// After all others.
    Avoid,
}

impl BindOptions {
    /// The defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Never prepares a transaction of this bind: it holds the decision of every unit that it writes in, and two such
    /// binds cannot write in one unit.
    ///
    /// For a bind that uses what PostgreSQL cannot prepare: `NOTIFY`, temporary tables. Defaults to off.
    #[must_use]
    pub fn never_prepare(mut self) -> Self {
        self.never_prepare = true;
        self
    }

    /// Says whether this bind should keep the decisions. Defaults to [`HolderPreference::Auto`].
    #[must_use]
    pub fn holder(mut self, preference: HolderPreference) -> Self {
        self.holder = preference;
        self
    }

    /// Believes that a `SELECT` without locking clause writes nothing, and does not ask the server.
    ///
    /// A function in a `SELECT` that writes is then committed after the decision, and lost in a crash between the two.
    /// Saves a round trip in units with at most one writer, and a counter at the begin on MariaDB. Defaults to off.
    #[must_use]
    pub fn trust_reads(mut self) -> Self {
        self.trust_reads = true;
        self
    }

    /// Lets the bind join units of several writers although a crash of its server may lose a confirmed commit
    /// (`fsync = off`, `innodb_flush_log_at_trx_commit` other than 1, SQLite below `synchronous = FULL`, `:memory:`).
    /// Defaults to off.
    #[must_use]
    pub fn allow_not_durable(mut self) -> Self {
        self.allow_not_durable = true;
        self
    }

    /// Lets MySQL prepare, as MariaDB may. Not tested on MySQL, which asks for `XA_RECOVER_ADMIN`. Defaults to off.
    #[must_use]
    pub fn trust_mysql_xa(mut self) -> Self {
        self.trust_mysql_xa = true;
        self
    }

    /// Records the decision also where this bind is the only writer, so that a lost reply never leaves the outcome
    /// unknown. One row more in the same message. Defaults to off.
    #[must_use]
    pub fn record_every_commit(mut self) -> Self {
        self.record_every_commit = true;
        self
    }

    pub(crate) fn holder_rank(&self, natural: i8) -> i8 {
        match self.holder {
            HolderPreference::Auto => natural,
            HolderPreference::Prefer => 10,
            HolderPreference::Avoid => -10,
        }
    }
}

/// How long things may take, in all binds.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    /// Waiting for a pool, whatever that allows.
    pub(crate) checkout: Duration,
    /// Waiting for a lock, where the connection has no limit.
    pub(crate) lock: Duration,
    /// An idle transaction, where the connection has no limit.
    pub(crate) idle: Duration,
    /// One step of a commit.
    pub(crate) step: Duration,
    /// Asking a holder for the outcome.
    pub(crate) resolve: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            checkout: Duration::from_secs(30),
            lock: Duration::from_secs(10),
            idle: Duration::from_secs(600),
            step: Duration::from_secs(30),
            resolve: Duration::from_secs(10),
        }
    }
}

/// The connection manager of a pool that opens its connections by a URL.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub(crate) fn manager<C>(url: &str, setup: Arc<Setup<C>>) -> AsyncDieselConnectionManager<C>
where
    C: AsyncConnection + 'static,
{
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |url| setup(url));
    AsyncDieselConnectionManager::new_with_config(url, config)
}
