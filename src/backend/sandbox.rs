//! A connection of which nothing is ever kept: what makes one, in words that all backends share.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::backend::Attached;

/// Why there is no such connection.
pub(crate) type NotEnclosed = Box<dyn std::error::Error + Send + Sync>;

/// Opens the copy once more.
pub(crate) type Reopen<C> =
    Arc<dyn Fn() -> BoxFuture<'static, Result<C, NotEnclosed>> + Send + Sync>;

/// A connection of which nothing is ever kept.
pub struct Enclosed<C> {
    /// The connection.
    pub connection: C,
    /// The copy that it is on. Without one it is in a transaction that never commits, and units are savepoints there.
    pub copy: Option<PrivateCopy<C>>,
}

/// A copy of a database that goes away with the last way to open it.
pub struct PrivateCopy<C> {
    /// Copies of the files that are attached.
    pub attached: Arc<[Attached]>,
    /// Opens the copy once more.
    pub reopen: Reopen<C>,
}
