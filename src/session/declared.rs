//! Declared binds of a unit: it enlists all of them together, and all units do so in the same order.

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
pub(super) struct DeclaredBind {
    /// The function that returns the position of the bind in the registry.
    position: fn(&Registry) -> Result<usize, Error>,
    /// The function that enlists the bind, unless it is enlisted.
    enlist: for<'c> fn(&'c Core) -> BoxFuture<'c, Result<(), Error>>,
}

impl DeclaredBind {
    pub(super) fn of<B: Bind>() -> Self {
        Self {
            position: Registry::position::<B>,
            enlist: |core| core.enlist::<B>().boxed(),
        }
    }
}

/// The declared binds, and the state of the unit on them.
pub(super) struct DeclaredBinds {
    pub(super) binds: Vec<DeclaredBind>,
    /// `true` once all of them are enlisted.
    enlisted: AtomicBool,
    /// A lock that lets one of several first queries enlist them while the others wait.
    enlisting: Mutex<()>,
}

impl DeclaredBinds {
    pub(super) fn new(binds: Vec<DeclaredBind>) -> Self {
        Self {
            binds,
            enlisted: AtomicBool::new(false),
            enlisting: Mutex::new(()),
        }
    }

    /// Enlists all declared binds in the order of the registry, unless this unit has done so. `bind` is the bind of
    /// the query.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the unit abort-only, as for any query. Transactions that have begun stay open until
    /// the end of the unit.
    pub(super) async fn enlist_all(&self, core: &Core, bind: &'static str) -> Result<(), Error> {
        if self.binds.is_empty() || self.enlisted.load(Ordering::SeqCst) {
            return Ok(());
        }
        let _enlisting = core
            .deadline()
            .bound(bind, Waiting::Statement, self.enlisting.lock())
            .await?;
        if self.enlisted.load(Ordering::SeqCst) {
            return Ok(());
        }
        let mut ordered = Vec::with_capacity(self.binds.len());
        for declared in &self.binds {
            ordered.push(((declared.position)(&core.registry)?, declared));
        }
        ordered.sort_by_key(|(position, _)| *position);
        for (_, declared) in ordered {
            (declared.enlist)(core).await?;
        }
        self.enlisted.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Resets the state for a new unit.
    pub(super) fn renew(&self) {
        self.enlisted.store(false, Ordering::SeqCst);
    }
}
