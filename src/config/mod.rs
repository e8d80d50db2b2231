//! The parts of a [`Manifest`] and of [`BindOptions`], and the mistakes in a URL.

// Validated settings: of a bind, of its pool, of recovery, of a registry; and the checks of a URL.
//
// Files, each of which imports only from those before it: `bind`, `manifest`, `pool`, `recovery`, `sqlite`,
// `sqlite_locking`, `transaction`, `url`.

pub(crate) mod bind;
#[cfg(feature = "manifest")]
pub(crate) mod manifest;
pub(crate) mod pool;
pub(crate) mod recovery;
pub(crate) mod sqlite;
mod sqlite_locking;
mod transaction;
pub(crate) mod url;

use std::time::Duration;

pub use self::bind::HolderPreference;
pub(crate) use self::bind::{BindOptions, Cleaning};
#[cfg(feature = "manifest")]
pub(crate) use self::manifest::Manifest;
#[cfg(feature = "manifest")]
pub use self::manifest::{
    ManifestBind, ManifestError, ManifestNeed, ManifestPlace, ManifestProblem,
};
pub(crate) use self::pool::PoolOptions;
pub(crate) use self::recovery::RecoveryOptions;
#[cfg(feature = "sqlite")]
pub(crate) use self::sqlite::{SqlitePlace, sqlite_name, sqlite_place};
pub(crate) use self::url::Place;
pub use self::url::UrlProblem;
pub(crate) use self::url::{check_url, check_url_of_setup};
pub use crate::tls::TlsProblem;

/// A function that opens a connection by a URL.
pub(crate) type Setup<C> = crate::backend::Open<C>;

/// Returns the environment variable with the URL of a bind, unless a manifest names another.
pub(crate) fn default_variable(key: &str) -> String {
    format!(
        "{}_DATABASE_URL",
        key.to_uppercase().replace(['-', '/'], "_")
    )
}

/// The time limits of all binds.
#[derive(Clone, Debug)]
pub(crate) struct Timeouts {
    /// The limit for waiting for a pool, whatever the pool allows.
    pub(crate) checkout: Duration,
    /// The limit for waiting for a lock, if the connection has no limit.
    pub(crate) lock: Duration,
    /// The limit for an idle transaction, if the connection has no limit.
    pub(crate) idle: Duration,
    /// The limit for one step of a commit.
    pub(crate) step: Duration,
    /// The limit for asking a holder for the outcome.
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
