//! Binds that a unit is known to need: begun together, in one order for all units.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::bind::Bind;
use crate::error::{Error, Waiting};
use crate::registry::Registry;
use crate::session::core::Core;

/// A bind that a unit is known to need.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    /// Where it is in the order of the registry.
    position: fn(&Registry) -> Result<usize, Error>,
    /// Begins there, unless that was done before.
    begin: for<'c> fn(&'c Core) -> BoxFuture<'c, Result<(), Error>>,
}

impl Declared {
    pub(super) fn of<B: Bind>() -> Self {
        Self {
            position: Registry::position::<B>,
            begin: |core| core.begin::<B>().boxed(),
        }
    }
}

/// The binds that were declared, and what the unit has done about them.
pub(super) struct DeclaredBinds {
    pub(super) binds: Vec<Declared>,
    /// It has begun on all of them.
    begun: AtomicBool,
    /// Of two first queries at once, one begins and the other waits.
    beginning: Mutex<()>,
}

impl DeclaredBinds {
    pub(super) fn new(binds: Vec<Declared>) -> Self {
        Self {
            binds,
            begun: AtomicBool::new(false),
            beginning: Mutex::new(()),
        }
    }

    /// Begins on all of them, in the order of the registry, unless this unit has done so. For a query on `bind`.
    ///
    /// # Cancel safety
    ///
    /// As of a query. What has begun stays; the next statement begins on the rest, in the same order.
    pub(super) async fn begin(&self, core: &Core, bind: &'static str) -> Result<(), Error> {
        if self.binds.is_empty() || self.begun.load(Ordering::SeqCst) {
            return Ok(());
        }
        let _beginning = core
            .deadline()
            .bound(bind, Waiting::Statement, self.beginning.lock())
            .await?;
        if self.begun.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut ordered = Vec::with_capacity(self.binds.len());
        for declared in &self.binds {
            ordered.push(((declared.position)(&core.registry)?, declared));
        }
        ordered.sort_by_key(|(position, _)| *position);
        for (_, declared) in ordered {
            (declared.begin)(core).await?;
        }
        self.begun.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// A new unit begins.
    pub(super) fn renew(&self) {
        self.begun.store(false, Ordering::SeqCst);
    }
}
