//! What a session may be told when it begins.

use std::time::Duration;

use crate::backend::Isolation;
use crate::bind::Bind;
use crate::session::declared::Declared;
use crate::session::join::{JoinedBind, OuterConnection};
use crate::session::unit_options::UnitOptions;

/// Options of a session, and of each unit of work in it.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    pub(super) unit: UnitOptions,
    pub(super) declared: Vec<Declared>,
}

impl SessionOptions {
    /// The defaults: may write, has no deadline, commits all or nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes nothing: a statement that may is refused, by its type and by the server. Its commit asks
    /// nothing before it.
    ///
    /// A unit that text has made writable again (`SET TRANSACTION READ WRITE`, `PRAGMA query_only = OFF`) is rolled back by its
    /// commit. Defaults to off.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.unit.read_only = true;
        self
    }

    /// Ends waiting for pools, locks and replies after this time, counted from the begin of the session, and for each later
    /// unit of it from the first statement of that unit. What a commit has begun is not cut short by it. A hook before the
    /// commit ends by then; each hook after the end of the unit may take as long again. Defaults to none.
    #[must_use]
    pub fn deadline(mut self, within: Duration) -> Self {
        self.unit.deadline = Some(within);
        self
    }

    /// The same options, with what is left of the time.
    pub(super) fn leaving(mut self, left: Option<Duration>) -> Self {
        self.unit.whole_deadline = self.unit.hooks_within();
        self.unit.deadline = left;
        self
    }

    /// Lets two binds write that cannot commit as one, for
    /// [`commit_all_best_effort`](crate::Session::commit_all_best_effort). Defaults to off: the second is refused.
    #[must_use]
    pub fn best_effort(mut self) -> Self {
        self.unit.best_effort = true;
        self
    }

    /// Declares that each unit will use this bind: its first query then also begins there, and takes the connections of
    /// all declared binds in the order in which they were registered, whatever the order of the queries.
    ///
    /// Units that each hold a connection and wait for one of another pool can starve each other until their deadlines;
    /// units that declare all their binds cannot. Defaults to none: each bind is begun by its own first query.
    #[must_use]
    pub fn uses<B: Bind>(mut self, _: B) -> Self {
        self.declared.push(Declared::of::<B>());
        self
    }

    /// Joins a connection on which you already have a transaction, in the place of one of the pool: that of a test, or
    /// of a framework.
    ///
    /// Each unit of the session is a savepoint there. `commit_all` releases it, and says so:
    /// [`Committed::is_joined`](crate::Committed::is_joined). Your transaction is left alone, and decides what is kept;
    /// nobody is told of that, so no [`after_commit`](crate::Session::after_commit) runs. A roll-back goes back to the
    /// savepoint, and [`after_rollback`](crate::Session::after_rollback) runs. An error inside the unit undoes the unit;
    /// your transaction goes on, unless the server has ended it as a whole (a deadlock on MariaDB).
    ///
    /// A session that joins one connection has no others: a query on a bind that did not join any fails with
    /// [`Error::NotJoined`](crate::Error::NotJoined). What would have to be told at the begin of the transaction is refused
    /// ([`Error::Unsupported`](crate::Error::Unsupported)): isolation, deferrable, timeouts of statements and locks. A read-only unit goes back to
    /// its savepoint in the end. What an [`after_begin`](crate::BindsBuilder::after_begin) hook sets lasts as long as your
    /// transaction. Units are not run again ([`Binds::retrying`](crate::Binds::retrying)): that is for whoever has the
    /// transaction. [`Propagation::New`](crate::Propagation::New) is refused inside a unit, and a unit of
    /// [`Propagation::Never`](crate::Propagation::Never) is as durable as your transaction.
    ///
    /// After a statement that is dropped half-way, or is running when the deadline comes, your connection is of no use any
    /// more, as in any unit: Diesel refuses it, and it is to be closed. Nobody has gone back to the savepoint then. So a unit
    /// that wrote ends with [`CommitError::TransactionEnded`](crate::CommitError::TransactionEnded), because a `COMMIT` in text
    /// would keep it.
    ///
    /// Binds that share a connection share what it joins.
    #[must_use]
    pub fn within<B: Bind>(mut self, _: B, connection: &OuterConnection<B::Connection>) -> Self {
        self.unit.joined.push(JoinedBind::of::<B>(connection));
        self
    }

    /// Makes the commits of this session fail as planned, in place of what [`Binds::inject`](crate::Binds::inject)
    /// said. Defaults to none.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn faults(mut self, plan: &crate::commit::FaultPlan) -> Self {
        self.unit.faults = Some(plan.clone());
        self
    }
}

/// What holds for the transactions of the unit, on each bind that it uses. Nothing of it outlives the unit, also where
/// its connection goes on in other hands. Where a bind cannot do it, its first query fails with
/// [`Error::Unsupported`](crate::Error::Unsupported): for what not all can do, see the same methods of
/// [`BindOptions`](crate::BindOptions).
impl SessionOptions {
    /// Sets the isolation level of the transactions. SQLite takes [`Isolation::Serializable`] only, which it always is.
    /// Defaults to what the bind says.
    #[must_use]
    pub fn isolation(mut self, level: Isolation) -> Self {
        self.unit.settings.isolation = Some(level);
        self
    }

    /// Lets the transactions wait at their begin until they can no longer fail for what others do. PostgreSQL only,
    /// together with [`read_only`](Self::read_only) and [`Isolation::Serializable`]. Defaults to off.
    #[must_use]
    pub fn deferrable(mut self) -> Self {
        self.unit.settings.deferrable = true;
        self
    }

    /// Sets how long a statement may take before the server ends it. PostgreSQL and MariaDB. Defaults to what the bind
    /// says.
    #[must_use]
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.unit.settings.statement_timeout = Some(limit);
        self
    }

    /// Sets how long a statement may wait for a lock, in whole seconds on MySQL and MariaDB. Defaults to what the bind
    /// says.
    #[must_use]
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.unit.settings.lock_timeout = Some(limit);
        self
    }
}
