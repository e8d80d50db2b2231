//! What a session may be told when it begins.

use std::time::Duration;

use crate::backend::{Isolation, Settings};
use crate::bind::Bind;
use crate::session::declared::Declared;
use crate::session::join::JoinedBind;

/// Options of a session, and of each unit of work in it.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    pub(crate) read_only: bool,
    pub(crate) deadline: Option<Duration>,
    /// The deadline as it was said, where less than that is left by now: what each hook after the end may take.
    pub(super) whole_deadline: Option<Duration>,
    pub(crate) best_effort: bool,
    pub(crate) settings: Settings,
    pub(super) declared: Vec<Declared>,
    pub(super) joined: Vec<JoinedBind>,
    /// Whether statements note what may get through in another attempt.
    pub(super) notes_conflicts: bool,
    #[cfg(feature = "testing")]
    pub(crate) faults: Option<crate::commit::FaultPlan>,
}

impl SessionOptions {
    /// The defaults: may write, has no deadline, commits all or nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes nothing: a statement that may is refused, by its type and by the server. Its commit costs nothing.
    ///
    /// A unit that text has made writable again (`SET TRANSACTION READ WRITE`, `PRAGMA query_only = OFF`) is rolled back by its
    /// commit. Defaults to off.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Ends waiting for pools, locks and replies after this time, counted from the begin of the session, and for each later
    /// unit of it from the first statement of that unit. What a commit has begun is not cut short by it. A hook before the
    /// commit ends by then; each hook after the end of the unit may take as long again. Defaults to none.
    #[must_use]
    pub fn deadline(mut self, within: Duration) -> Self {
        self.deadline = Some(within);
        self
    }

    /// The same options, with what is left of the time.
    pub(super) fn leaving(mut self, left: Option<Duration>) -> Self {
        self.whole_deadline = self.hooks_within();
        self.deadline = left;
        self
    }

    /// How long each hook after the end of a unit may take.
    pub(super) fn hooks_within(&self) -> Option<Duration> {
        self.whole_deadline.or(self.deadline)
    }

    /// Lets two binds write that cannot commit as one, for
    /// [`commit_all_best_effort`](crate::Session::commit_all_best_effort). Defaults to off: the second is refused.
    #[must_use]
    pub fn best_effort(mut self) -> Self {
        self.best_effort = true;
        self
    }

    /// Declares that each unit will use this bind: its first query then also begins there, and takes the connections of
    /// all declared binds in the order in which they were registered, whatever the order of the queries.
    ///
    /// Units that each hold a connection and wait for one of another pool can starve each other until their deadlines;
    /// units that declare all their binds cannot. Defaults to none: each bind is begun by its own first query.
    #[must_use]
    pub fn enlist<B: Bind>(mut self, _: B) -> Self {
        self.declared.push(Declared::of::<B>());
        self
    }

    /// Makes the commits of this session fail as planned, in place of what [`Binds::inject`](crate::Binds::inject)
    /// said. Defaults to none.
    #[cfg(feature = "testing")]
    #[must_use]
    pub fn faults(mut self, plan: &crate::commit::FaultPlan) -> Self {
        self.faults = Some(plan.clone());
        self
    }
}

/// What holds for the transactions of the unit, on each bind that it uses. Nothing of it outlives the unit, also where
/// its connection goes on in other hands. Where a bind cannot do it, its first query fails with
/// [`Error::Unsupported`](crate::Error::Unsupported): for what not all can do, see the same methods of
/// [`BindOptions`](crate::BindOptions).
impl SessionOptions {
    /// How far the transactions are kept apart. SQLite takes [`Isolation::Serializable`] only, which it always is.
    /// Defaults to what the bind says.
    #[must_use]
    pub fn isolation(mut self, level: Isolation) -> Self {
        self.settings.isolation = Some(level);
        self
    }

    /// Lets the transactions wait at their begin until they can no longer fail for what others do. PostgreSQL only,
    /// together with [`read_only`](Self::read_only) and [`Isolation::Serializable`]. Defaults to off.
    #[must_use]
    pub fn deferrable(mut self) -> Self {
        self.settings.deferrable = true;
        self
    }

    /// How long a statement may take before the server ends it. PostgreSQL and MariaDB. Defaults to what the bind
    /// says.
    #[must_use]
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.settings.statement_timeout = Some(limit);
        self
    }

    /// How long a statement may wait for a lock, in whole seconds on MySQL and MariaDB. Defaults to what the bind
    /// says.
    #[must_use]
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.settings.lock_timeout = Some(limit);
        self
    }
}
