//! The migrations of one bind: what the program has, and the way to the database.

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

/// Opens a connection past the pool.
pub(crate) type Connect<C> = dyn Fn() -> BoxFuture<'static, Result<C, Fault>> + Send + Sync;

/// The migrations of one bind.
pub(crate) struct Set<C: Migratable> {
    pub(crate) key: &'static str,
    /// Which database it is: binds of one place share it, and say so.
    pub(crate) place: usize,
    pub(crate) known: Vec<Known>,
    pub(crate) source: Arc<Source<C>>,
    pub(crate) connect: Arc<Connect<C>>,
    /// How long the database may take to say what ran there.
    pub(crate) limit: Duration,
}
