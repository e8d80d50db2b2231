//! The unit of work: a session checks out and begins what its queries need, and ends all of it as one.
//!
//! `core` holds a `slot` for each bind; the first query on a bind puts a `lease` into its slot. A `statement` is the
//! right to use one; `target` and `run` bring queries to it. At the end, the leases leave their slots and become the
//! `participant`s of the commit.

mod begin;
mod closure;
mod connection;
mod core;
mod deadline;
mod declared;
mod hooks;
mod join;
mod lease;
mod lent;
mod nested;
mod options;
mod participant;
mod retry;
mod rows;
mod run;
mod savepoint;
mod slot;
mod statement;
mod target;
mod terms;
mod transaction;

use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use crate::bind::Bind;
use crate::commit::{self, CommitError, Committed, Fault, Orders, Participant};
use crate::error::{AbortReason, Error};
use crate::gid::UnitId;
use crate::registry::Binds;
use crate::session::core::Core;
pub(crate) use crate::session::deadline::Deadline;

pub use self::closure::{Work, WorkOnce};
pub use self::connection::BoundConnection;
pub use self::hooks::HookOutput;
pub use self::join::OuterConnection;
pub(crate) use self::lent::Lent;
pub use self::nested::Propagation;
pub use self::options::SessionOptions;
pub use self::retry::{Retried, Retry, Retrying};
pub use self::run::{Execute, Load, RunQueryDsl, SaveChangesDsl};
pub(crate) use self::statement::Open;
pub(crate) use self::target::sealed;
pub use self::target::{On, Target};

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
    core: Arc<Core>,
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
    fn new(binds: &Binds, options: SessionOptions, managed: bool) -> Self {
        Self {
            core: Arc::new(Core::new(Arc::clone(&binds.registry), options, managed)),
        }
    }

    /// The unit of work that queries now belong to.
    ///
    /// It gets its id with its first query, or when its id is asked for before: a unit whose id is older than records of
    /// units are kept ([`RecoveryOptions::retention`](crate::RecoveryOptions::retention), and at least an hour) begins on
    /// no bind any more.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.core.unit()
    }

    /// Names the bind of a query whose type does not tell it: `sql_query`, `select(exists(..))`, set operations.
    ///
    /// Such a query counts as written, unless [`reading`](On::reading) says otherwise.
    pub fn on<B: Bind>(&self, _: B) -> On<'_, B> {
        On::new(self)
    }

    /// The connection of a bind, inside the transaction of the unit, for what this library does not do.
    ///
    /// # Errors
    ///
    /// Those of a query that may write: see [`Error`].
    ///
    /// # Cancel safety
    ///
    /// As a query.
    pub async fn connection<B: Bind>(&self) -> Result<BoundConnection<'_, B>, Error> {
        let access = self.core.widest_access::<B>()?;
        let mut statement = self.core.statement::<B>(access).await?;
        statement.mark().await?;
        Ok(BoundConnection::new(statement.held()))
    }

    /// Commits what the unit did on all binds, or none of it.
    ///
    /// Where several binds wrote, all but one prepare, and the last commits its own work together with the decision:
    /// three round trips, whatever the number of binds. Where one wrote, it is a plain commit. Where none did, nothing
    /// can go wrong. In a session that has [joined](SessionOptions::join) the transactions of others, nothing is committed
    /// yet, and the result [says so](Committed::is_joined).
    ///
    /// Hooks [before](Self::before_commit) the commit run first, those [after](Self::after_commit) it last.
    ///
    /// # Errors
    ///
    /// Each variant of [`CommitError`] says what became of the data. After any of them the session begins a new unit,
    /// except after [`Busy`](CommitError::Busy) and [`InsideTransaction`](CommitError::InsideTransaction), which change
    /// nothing.
    ///
    /// # Cancel safety
    ///
    /// The commit runs on a task of its own: once polled, dropping this future stops hearing of the outcome, not the
    /// commit and the hooks after it. While a hook before the commit runs, nothing has begun; dropped there, the unit can
    /// only be rolled back.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn commit_all(&mut self) -> Result<Committed, CommitError> {
        self.core.check_may_end()?;
        self.finish().await
    }

    /// Rolls back what the unit did on all binds.
    ///
    /// A server that cannot be reached rolls back by itself, as soon as it sees that its connection is gone.
    ///
    /// # Errors
    ///
    /// [`CommitError::Busy`] and [`CommitError::InsideTransaction`]: nothing was changed.
    /// [`CommitError::TransactionEnded`] if the roll-back is not certain on a bind: a statement in text, a hook or the raw
    /// connection has ended the transaction there, or may have. Typed queries cannot.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the roll-back goes on in the background when the future is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, if there is anything to roll back.
    pub async fn rollback_all(&mut self) -> Result<(), CommitError> {
        self.core.check_may_end()?;
        self.abandon().await
    }

    /// Commits what the unit did on one bind, apart from all others, whose transactions stay open.
    ///
    /// This is what the unit of work is there to avoid: when a later `commit_all` fails, this bind has committed. For
    /// a log that must survive a roll-back, for instance. Binds that share its connection commit with it. If it fails,
    /// all other binds are rolled back.
    ///
    /// # Errors
    ///
    /// As [`commit_all`](Self::commit_all); [`Error::UnknownBind`] if the bind is not registered.
    ///
    /// # Cancel safety
    ///
    /// As [`commit_all`](Self::commit_all).
    ///
    /// # Panics
    ///
    /// As [`commit_all`](Self::commit_all).
    pub async fn commit<B: Bind>(&mut self, _: B) -> Result<Committed, Error> {
        self.core.check_may_end()?;
        if let Some(refused) = self.refuse().await? {
            return Err(refused.into());
        }
        let (unit, participants) = self.core.take_one::<B>()?;
        let orders = self.orders(unit);
        let committed = self
            .in_background(unit, self.ending(orders, participants))
            .await;
        if let Err(error) = &committed {
            if !error.is_rolled_back() {
                self.core.hooks.take(None).discard(self.core.unit());
            }
            // What the error says of the unit is to be true of all binds: a unit that goes on without one of them would
            // be torn by its commit.
            let abandoned = self.abandon().await;
            if let (Err(ended), true) = (abandoned, error.is_rolled_back()) {
                return Err(ended.into());
            }
        }
        Ok(committed?)
    }

    /// Commits one bind after the other: what cannot be atomic, asked for by name.
    ///
    /// For units whose writers cannot commit as one (two SQLite files in WAL), in a session with
    /// [`best_effort`](SessionOptions::best_effort). A failure half-way leaves the unit torn.
    ///
    /// # Errors
    ///
    /// [`CommitError::Partial`] when the unit is torn, or may be. [`CommitError::RolledBack`] when the first commit
    /// failed, and nothing is kept.
    ///
    /// # Cancel safety
    ///
    /// As [`commit_all`](Self::commit_all).
    ///
    /// # Panics
    ///
    /// As [`commit_all`](Self::commit_all).
    pub async fn commit_all_best_effort(&mut self) -> Result<Committed, CommitError> {
        self.core.check_may_end()?;
        self.approve().await?;
        let (unit, participants, hooks) = self.core.take_all()?;
        let orders = Orders {
            rehearses: false,
            ..self.orders(unit)
        };
        let ending = match self.core.is_joined() {
            true => commit::release(orders, participants).boxed(),
            false => commit::best_effort(orders, participants).boxed(),
        };
        let kept = self.core.kept();
        self.in_background(unit, async move {
            let result = ending.await;
            hooks.ended(unit, result, kept).await
        })
        .await
    }

    /// The commit, for whoever may end the unit.
    async fn finish(&mut self) -> Result<Committed, CommitError> {
        self.approve().await?;
        let (unit, participants, hooks) = self.core.take_all()?;
        let ending = self.ending(self.orders(unit), participants);
        let kept = self.core.kept();
        self.in_background(unit, async move {
            let result = ending.await;
            hooks.ended(unit, result, kept).await
        })
        .await
    }

    /// The commit; where the unit is in transactions of others, the release of its savepoints.
    fn ending(
        &self,
        orders: Orders,
        participants: Vec<Box<dyn Participant>>,
    ) -> BoxFuture<'static, Result<Committed, CommitError>> {
        match self.core.is_joined() {
            true => commit::release(orders, participants).boxed(),
            false => commit::commit(orders, participants).boxed(),
        }
    }

    /// Makes sure that the unit can commit, and that nobody has a veto.
    ///
    /// Cancellation safety: nothing of the commit has begun; a hook that was dropped makes the unit abort-only.
    async fn approve(&mut self) -> Result<(), CommitError> {
        if let Some(refused) = self.refuse().await? {
            return Err(refused);
        }
        if !self.core.hooks.may_veto() {
            return Ok(());
        }
        self.ask_hooks().await?;
        match self.refuse().await? {
            Some(refused) => Err(refused),
            None => Ok(()),
        }
    }

    /// The roll-back, for whoever may end the unit.
    pub(crate) async fn abandon(&mut self) -> Result<(), CommitError> {
        let (unit, participants, hooks) = self.core.take_all()?;
        if participants.is_empty() && hooks.is_empty() {
            return Ok(());
        }
        let trace = self.core.trace.end(unit);
        self.in_background(unit, async move {
            let rolled_back = commit::roll_back(trace, participants).await;
            hooks.undone(unit, &rolled_back).await;
            rolled_back
        })
        .await
    }

    /// The roll-back of a unit that something was in the way of: what its caller is told.
    async fn abandon_for(
        &mut self,
        bind: &'static str,
        fault: Fault,
    ) -> Result<CommitError, CommitError> {
        match self.abandon().await {
            Ok(()) => Ok(CommitError::rolled_back(
                bind,
                Vec::new(),
                Vec::new(),
                fault,
            )),
            Err(ended) => ended.because(fault),
        }
    }

    /// The same session once more, for its queries. Whoever shares it sees to it that nothing runs while it ends.
    pub(crate) fn share(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
        }
    }

    /// Rolls back a unit that cannot commit any more, and says why.
    async fn refuse(&mut self) -> Result<Option<CommitError>, CommitError> {
        let (bind, source) = match self.core.abort_reason() {
            Some((bind, AbortReason::DeadlineExceeded)) => (bind, Fault::DeadlineExceeded),
            Some((bind, AbortReason::TransactionEnded)) => {
                (bind, Fault::Ended(diesel::result::Error::NotInTransaction))
            }
            Some((bind, AbortReason::NestedTransaction)) => (bind, Fault::NestedTransaction),
            Some((bind, AbortReason::Incomplete)) => (bind, Fault::Incomplete),
            Some((bind, AbortReason::NotBegun)) => (bind, Fault::NotBegun),
            Some((bind, AbortReason::Joined)) => (bind, Fault::Joined),
            Some((bind, AbortReason::Hook)) => (bind, Fault::Hook),
            Some((bind, AbortReason::OutlivedRecords)) => (bind, Fault::OutlivedRecords),
            Some((bind, AbortReason::SandboxEnded)) => (bind, Fault::SandboxEnded),
            Some((bind, AbortReason::Exchanged)) => (bind, Fault::Exchanged),
            None if self.core.registry.has_ended() && self.core.has_begun() => {
                (self.core.first_bind(), Fault::SandboxEnded)
            }
            // What did nothing has nothing to lose.
            None if self.core.deadline().has_passed() && self.core.has_begun() => {
                (self.core.first_bind(), Fault::DeadlineExceeded)
            }
            None => return Ok(None),
        };
        self.abandon_for(bind, source).await.map(Some)
    }

    fn orders(&self, unit: UnitId) -> Orders {
        Orders {
            unit,
            namespace: Arc::clone(&self.core.registry.namespace),
            trace: self.core.trace.end(unit),
            rehearses: self.core.registry.is_sandbox(),
            #[cfg(feature = "testing")]
            faults: self
                .core
                .options
                .faults
                .clone()
                .or_else(|| self.core.registry.faults()),
        }
    }

    /// Runs the end of a unit on a task of its own: a caller that goes away does not stop it half-way.
    async fn in_background<T: Send + 'static>(
        &self,
        unit: UnitId,
        ending: impl Future<Output = Result<T, CommitError>> + Send + 'static,
    ) -> Result<T, CommitError> {
        let task = self.core.registry.spawn(ending, &Handle::current());
        match task.await {
            Ok(result) => result,
            Err(source) => Err(CommitError::Interrupted { unit, source }),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("unit", &self.core.known_unit())
            .field(
                "enlisted",
                &self.core.slots().map(|slot| slot.key()).collect::<Vec<_>>(),
            )
            .finish_non_exhaustive()
    }
}
