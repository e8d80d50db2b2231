//! The session: queries run on it, and it has the hooks and the savepoints of its units.

use std::fmt;
use std::sync::Arc;

use crate::bind::{Access, Bind};
use crate::error::Error;
use crate::gid::UnitId;
use crate::registry::Binds;
use crate::session::SessionOptions;
use crate::session::claim::Claim;
use crate::session::core::Core;
use crate::session::declared::DeclaredBinds;
use crate::session::unit_hooks::UnitHooks;

/// One unit of work after the other, over all binds.
///
/// The first query on a bind checks a connection out of the pool of that bind and begins a transaction on it.
/// [`commit_all`](Self::commit_all) commits the transactions of all binds, or none. The next query then begins another
/// unit.
///
/// Queries take `&self`: two binds may be queried at once with `tokio::join!`. Two queries on one bind wait for each
/// other.
///
/// Dropping a session rolls the open unit back in the background.
pub struct Session {
    pub(super) shared: Arc<Shared>,
}

/// The state of a session, shared by all its handles.
pub(super) struct Shared {
    pub(super) core: Core,
    declared: DeclaredBinds,
    hooks: UnitHooks<Session>,
}

impl Binds {
    /// Creates a session. Takes no connection yet.
    #[must_use]
    pub fn session(&self) -> Session {
        Session::new(self, SessionOptions::default(), false)
    }
}

impl Session {
    pub(super) fn new(binds: &Binds, options: SessionOptions, managed: bool) -> Self {
        Self {
            shared: Arc::new(Shared {
                core: Core::new(Arc::clone(&binds.registry), options.unit, managed),
                declared: DeclaredBinds::new(options.declared),
                hooks: UnitHooks::default(),
            }),
        }
    }

    /// Returns the id of the unit of work that queries now belong to.
    ///
    /// The unit gets its id from its first query or from this method, whichever comes first. A unit can no longer begin
    /// once its id is older than the retention of records
    /// ([`RecoveryOptions::retention`](crate::RecoveryOptions::retention)), which counts as at least an hour.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.core().unit()
    }

    /// Returns another handle of the session for queries. The caller makes sure that no query runs while the unit ends.
    pub(crate) fn share(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }

    pub(super) fn core(&self) -> &Core {
        &self.shared.core
    }

    pub(super) fn declared(&self) -> &DeclaredBinds {
        &self.shared.declared
    }

    pub(super) fn hooks(&self) -> &UnitHooks<Self> {
        &self.shared.hooks
    }

    /// Waits for `B`, enlists it unless it is enlisted, and returns the right to run a statement on it.
    pub(super) fn claim_bind<B: Bind>(
        &self,
        access: Access,
    ) -> impl Future<Output = Result<Claim<'_, B::Connection>, Error>> + Send {
        self.core().claim_bind::<B>(access, self.declared())
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("unit", &self.core().known_unit())
            .field(
                "enlisted",
                &self
                    .core()
                    .slots()
                    .map(|slot| slot.key())
                    .collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}
