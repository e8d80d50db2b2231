//! The options of a session.

use std::time::Duration;

use crate::backend::Isolation;
use crate::bind::Bind;
use crate::session::declared::DeclaredBind;
use crate::session::outer::{OuterBind, OuterConnection};
use crate::session::unit_options::UnitOptions;

/// Options of a session, and of each unit of work in it.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    pub(super) unit: UnitOptions,
    pub(super) declared: Vec<DeclaredBind>,
}

impl SessionOptions {
    /// Returns the defaults: writes are allowed, there is no deadline, and commits are atomic.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the units of the session read-only. A statement that may write is refused by its type, and by the server.
    /// The commit does not ask the binds whether they wrote.
    ///
    /// If text makes a unit writable again (`SET TRANSACTION READ WRITE`, `PRAGMA query_only = OFF`), the commit rolls
    /// it back. Defaults to off.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.unit.read_only = true;
        self
    }

    /// Ends waits for pools, locks and replies after this time. The time counts from the creation of the session, and
    /// for each later unit from its first statement. A commit that has begun is not interrupted. A hook before the
    /// commit must complete by then; each hook after the end of the unit may take as long again. Defaults to none.
    #[must_use]
    pub fn deadline(mut self, within: Duration) -> Self {
        self.unit.deadline = Some(within);
        self
    }

    /// Returns the options with the time that is left. Hooks after the end keep the whole time.
    pub(super) fn leaving(mut self, left: Option<Duration>) -> Self {
        self.unit.whole_deadline = self.unit.hooks_within();
        self.unit.deadline = left;
        self
    }

    /// Allows two binds to write that cannot commit atomically (two SQLite files in WAL mode). Such a unit is committed
    /// on one bind after the other. If a bind fails after another one has committed, the unit is kept in part
    /// ([`CommitError::Partial`](crate::CommitError::Partial)). All other units of the session commit atomically.
    /// A unit in which only a function of a query wrote on one of the two binds is rolled back
    /// ([`CommitError::NotAtomic`](crate::CommitError::NotAtomic)). Defaults to off: the second writer is refused.
    #[must_use]
    pub fn best_effort(mut self) -> Self {
        self.unit.best_effort = true;
        self
    }

    /// Declares that each unit will use this bind. The first query of a unit then begins on all declared binds, in the
    /// order of their registration.
    ///
    /// Units that each hold one connection and wait for one of another pool can block each other until their deadlines.
    /// Units that declare all their binds cannot. Defaults to none: the first query on each bind begins there.
    #[must_use]
    pub fn uses<B: Bind>(mut self, _: B) -> Self {
        self.declared.push(DeclaredBind::of::<B>());
        self
    }

    /// Uses a connection on which you already have a transaction, that of a test or of a framework, in place of a
    /// connection of the pool.
    ///
    /// Each unit of the session is a savepoint in your transaction. `commit_all` releases the savepoint, and the result
    /// is [`Commit::Released`](crate::Commit::Released). Your transaction stays open and decides later about the work, so no
    /// [`after_commit`](crate::Session::after_commit) hook runs. A roll-back returns to the savepoint, and
    /// [`after_rollback`](crate::Session::after_rollback) hooks run. An error inside the unit undoes the unit only,
    /// unless the server has ended your whole transaction (a deadlock on MariaDB).
    ///
    /// A session with an outer connection uses no pool:
    ///
    /// - A query on a bind without an outer connection fails with
    ///   [`Error::NoOuterConnection`](crate::Error::NoOuterConnection).
    /// - Settings for the begin of a transaction are refused ([`Error::Unsupported`](crate::Error::Unsupported)):
    ///   isolation, deferrable, timeouts of statements and locks.
    /// - A read-only unit rolls back to its savepoint at its end.
    /// - Settings of an [`after_begin`](crate::BindsBuilder::after_begin) hook last as long as your transaction.
    /// - [`Binds::retrying`](crate::Binds::retrying) does not run its units again. Only the owner of the transaction
    ///   can do that.
    /// - [`Propagation::New`](crate::Propagation::New) is refused inside a unit. A unit of
    ///   [`Propagation::Never`](crate::Propagation::Never) is as durable as your transaction.
    ///
    /// If a statement is dropped before it completes, or still runs at the deadline, close your connection: Diesel
    /// refuses further statements on it. The unit was then not rolled back to its savepoint, and a `COMMIT` in text
    /// would keep it. So if the unit wrote, it ends with
    /// [`CommitError::TransactionEnded`](crate::CommitError::TransactionEnded).
    ///
    /// Binds that share a connection also share the outer one.
    #[must_use]
    pub fn within<B: Bind>(mut self, _: B, connection: &OuterConnection<B::Connection>) -> Self {
        self.unit.outer.push(OuterBind::of::<B>(connection));
        self
    }

    /// Makes the commits of this session fail as `plan` says, in place of the plan of
    /// [`Binds::inject`](crate::Binds::inject). Defaults to none.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn faults(mut self, plan: &crate::commit::FaultPlan) -> Self {
        self.unit.faults = Some(plan.clone());
        self
    }
}

/// Settings for the transactions of the unit, on each bind that it uses. They end with the unit, even if its connection
/// goes on to other users. If a bind does not support a setting, the first query on it fails with
/// [`Error::Unsupported`](crate::Error::Unsupported). The same methods of [`BindOptions`](crate::BindOptions) state
/// which backends support them.
impl SessionOptions {
    /// Sets the isolation level of the transactions. SQLite accepts only [`Isolation::Serializable`], its only level.
    /// Defaults to the setting of the bind.
    #[must_use]
    pub fn isolation(mut self, level: Isolation) -> Self {
        self.unit.settings.isolation = Some(level);
        self
    }

    /// Makes the transactions wait for a snapshot with which no serialization failure is possible. PostgreSQL only,
    /// together with [`read_only`](Self::read_only) and [`Isolation::Serializable`]. Defaults to off.
    #[must_use]
    pub fn deferrable(mut self) -> Self {
        self.unit.settings.deferrable = true;
        self
    }

    /// Sets how long a statement may take before the server ends it. PostgreSQL, MariaDB, and MySQL, which limits only
    /// `SELECT`. Defaults to the setting of the bind.
    #[must_use]
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.unit.settings.statement_timeout = Some(limit);
        self
    }

    /// Sets how long a statement may wait for a lock, in whole seconds on MySQL and MariaDB. Defaults to the setting of
    /// the bind.
    #[must_use]
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.unit.settings.lock_timeout = Some(limit);
        self
    }
}
