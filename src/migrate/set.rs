//! The migrations of one bind in the program, and the way to its database.

use std::sync::Arc;
use std::time::Duration;

use diesel::migration::MigrationSource;
use diesel_async::AsyncConnectionCore;
use futures_util::future::BoxFuture;

use crate::backend::migrate::Migratable;
use crate::commit::Fault;
use crate::migrate::known::Known;

/// A source of migrations for connections of type `C`, such as `EmbeddedMigrations`.
pub(crate) type Source<C> = dyn MigrationSource<<C as AsyncConnectionCore>::Backend> + Send + Sync;

/// A function that opens a connection beside the pool.
pub(crate) type Connect<C> = dyn Fn() -> BoxFuture<'static, Result<C, Fault>> + Send + Sync;

/// The migrations of one bind.
pub(crate) struct Set<C: Migratable> {
    pub(crate) key: &'static str,
    /// The number of the database: binds with the same number share it, and declare it.
    pub(crate) place: usize,
    pub(crate) known: Vec<Known>,
    pub(crate) source: Arc<Source<C>>,
    pub(crate) connect: Arc<Connect<C>>,
    /// The time limit for reading the history of the database.
    pub(crate) limit: Duration,
}
