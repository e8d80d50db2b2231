//! Declared binds of a unit: it begins on all of them together, and all units begin in the same order.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::Mutex;

use crate::bind::Bind;
use crate::error::{Error, Waiting};
use crate::registry::Registry;
use crate::session::core::Core;

/// A bind that the application declared for each unit of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declared {
    /// The function that returns the position of the bind in the registry.
    position: fn(&Registry) -> Result<usize, Error>,
    /// The function that begins on the bind, unless the unit has begun there.
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

/// The declared binds, and the state of the unit on them.
pub(super) struct DeclaredBinds {
    pub(super) binds: Vec<Declared>,
    /// `true` once the unit has begun on all of them.
    begun: AtomicBool,
    /// A lock that lets one of several first queries begin while the others wait.
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

    /// Begins on all declared binds in the order of the registry, unless this unit has done so. `bind` is the bind of
    /// the query.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the unit abort-only, as for any query. Transactions that have begun stay open until
    /// the end of the unit.
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

    /// Resets the state for a new unit.
    pub(super) fn renew(&self) {
        self.begun.store(false, Ordering::SeqCst);
    }
}
