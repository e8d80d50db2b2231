//! The migrations of one bind: what the program has, and the way to the database.

use std::sync::Arc;
use std::time::Duration;

use diesel::migration::MigrationSource;
use diesel_async::AsyncConnectionCore;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::backend::Backend;
use crate::backend::migrate::Migratable;
use crate::commit::Fault;
use crate::migrate::database::{Database, Opened};
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

/// The migrations of a bind of any connection type.
pub(crate) trait AnySet: Send + Sync {
    fn key(&self) -> &'static str;
    fn backend(&self) -> Backend;
    fn place(&self) -> usize;
    /// In the order of their versions.
    fn known(&self) -> &[Known];
    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Database>, Fault>>;
}

impl<C: Migratable> AnySet for Set<C> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn backend(&self) -> Backend {
        C::BACKEND
    }

    fn place(&self) -> usize {
        self.place
    }

    fn known(&self) -> &[Known] {
        &self.known
    }

    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Database>, Fault>> {
        async move {
            let opened = Opened::open(self).await?;
            Ok(Box::new(opened) as Box<dyn Database>)
        }
        .boxed()
    }
}

/// The migrations of a bind whose database nobody reaches.
#[cfg(feature = "testing")]
pub(crate) struct Refusing {
    pub(crate) set: Arc<dyn AnySet>,
    pub(crate) refusal: fn() -> Fault,
}

#[cfg(feature = "testing")]
impl AnySet for Refusing {
    fn key(&self) -> &'static str {
        self.set.key()
    }

    fn backend(&self) -> Backend {
        self.set.backend()
    }

    fn place(&self) -> usize {
        self.set.place()
    }

    fn known(&self) -> &[Known] {
        self.set.known()
    }

    fn open(&self) -> BoxFuture<'_, Result<Box<dyn Database>, Fault>> {
        let refusal = (self.refusal)();
        async { Err(refusal) }.boxed()
    }
}
