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

    /// The pool was closed, or the outer connection ([`OuterConnection`](crate::OuterConnection)).
    #[error("the pool or the outer connection is closed")]
    Closed,

    /// A bind of a sandbox has one connection, and another unit had it for that long.
    #[error(
        "a bind of a sandbox has one connection, and another unit had it for {0:?}: end or drop that session first"
    )]
    OneConnection(Duration),

    /// A sandbox has closed its only connection, and everything that was done there is rolled back. The cause is a
    /// statement that was dropped before it completed, a `COMMIT` or `ROLLBACK` of the application, or a deadlock on
    /// MariaDB.
    #[error(
        "the sandbox had to close its connection, after a statement that was dropped before its reply, a COMMIT or \
         ROLLBACK of the application, or an error of the server; nothing that ran in its transaction was kept: start \
         another sandbox"
    )]
    SandboxLost,

    /// A connection could not be opened or reused.
    #[error("no connection could be opened")]
    Connect(#[source] BoxError),
}
