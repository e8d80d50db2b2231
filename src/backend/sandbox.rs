//! Types of a connection that never commits anything, shared by all backends.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::backend::Attached;

/// The reason why a connection cannot be enclosed.
pub(crate) type NotEnclosed = Box<dyn std::error::Error + Send + Sync>;

/// A function that opens the copy once more.
pub(crate) type Reopen<C> =
    Arc<dyn Fn() -> BoxFuture<'static, Result<C, NotEnclosed>> + Send + Sync>;

/// A connection that never commits anything.
pub struct Enclosed<C> {
    /// The connection.
    pub connection: C,
    /// The copy that the connection is on. Without a copy it is in a transaction that never commits, and units are
    /// savepoints there.
    pub copy: Option<PrivateCopy<C>>,
}

/// A copy of a database, which is deleted together with the last way to open it.
pub struct PrivateCopy<C> {
    /// Copies of the files that are attached.
    pub attached: Arc<[Attached]>,
    /// The function that opens the copy once more.
    pub reopen: Reopen<C>,
}
