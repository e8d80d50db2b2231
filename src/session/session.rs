//! A session: what queries are run on, and hooks and savepoints belong to.

use std::fmt;
use std::sync::Arc;

use crate::bind::{Access, Bind};
use crate::error::Error;
use crate::gid::UnitId;
use crate::registry::Binds;
use crate::session::SessionOptions;
use crate::session::core::Core;
use crate::session::declared::DeclaredBinds;
use crate::session::statement::Statement;
use crate::session::unit_hooks::UnitHooks;

/// A unit of work over all binds.
///
/// The first query on a bind takes a connection of that bind's pool and begins a transaction on it;
/// [`commit_all`](Self::commit_all) commits all of them, or none. Afterwards the session is as new, and the next query
/// begins another unit.
///
/// Queries take `&self`: two binds may be queried at once with `tokio::join!`. Two queries on one bind wait for each
/// other.
///
/// Dropping a session rolls back, in the background, whatever has not been committed.
pub struct Session {
    pub(super) shared: Arc<Shared>,
}

/// What a session is, for as long as anybody has a part of it.
pub(super) struct Shared {
    pub(super) core: Core,
    declared: DeclaredBinds,
    hooks: UnitHooks<Session>,
}

impl Binds {
    /// A new session. Takes no connection yet.
    #[must_use]
    pub fn session(&self) -> Session {
        self.session_with(SessionOptions::default())
    }

    /// A new session with options. Takes no connection yet.
    #[must_use]
    pub fn session_with(&self, options: SessionOptions) -> Session {
        Session::new(self, options, false)
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

    /// The unit of work that queries now belong to.
    ///
    /// It gets its id with its first query, or when its id is asked for before: a unit whose id is older than records of
    /// units are kept ([`RecoveryOptions::retention`](crate::RecoveryOptions::retention), and at least an hour) begins on
    /// no bind any more.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.core().unit()
    }

    /// The same session once more, for its queries. Whoever shares it sees to it that nothing runs while it ends.
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

    /// The right to run a statement on `B`, which waits for the bind, and begins there if nobody did.
    pub(super) fn statement<B: Bind>(
        &self,
        access: Access,
    ) -> impl Future<Output = Result<Statement<'_, B::Connection>, Error>> + Send {
        self.core().statement::<B>(access, self.declared())
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
