//! The migrations of one bind, without the type of its connection.

#[cfg(feature = "testing")]
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::backend::Backend;
use crate::backend::migrate::Migratable;
use crate::commit::Fault;
use crate::migrate::database::{Database, Opened};
use crate::migrate::known::Known;
use crate::migrate::set::Set;

/// The migrations of a bind of any connection type.
pub(crate) trait AnySet: Send + Sync {
    fn key(&self) -> &'static str;
    fn backend(&self) -> Backend;
    fn place(&self) -> usize;
    /// Returns the migrations, in the order of their versions.
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

/// The migrations of a bind whose database refuses every connection.
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
