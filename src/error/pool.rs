//! The reason why a pool gave no connection.

use std::time::Duration;

use diesel_binds_derive::ErrorDebug;

/// An error of any underlying library.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// The reason why a pool gave no connection.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// All connections are in use, and none came back in time.
    #[error("none became free within {0:?}")]
    TimedOut(Duration),

    /// The pool was closed.
    #[error("the pool is closed: start no work after `binds.close()`")]
    Closed,

    /// A connection could not be opened or reused.
    #[error("no connection could be opened")]
    Connect(#[source] BoxError),
}
