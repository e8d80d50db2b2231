//! The lease: one connection of one unit of work, from the begin of its transaction to its end.

// Files, each of which imports only from those before it: `reach`, `sight`, `leaving`.

mod leaving;
mod reach;
mod sight;

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::backend::{Connection, KeptWrites, Staleness, Terms, Unseen};
use crate::commit::Undone;
use crate::config::Cleaning;
use crate::error::Error;
use crate::pool::Pooled;
use crate::registry::{Entry, InUse};
use crate::trace::{Counted, Transaction, UnitContext, Watch};

/// A connection in the transaction of a unit.
///
/// Dropping it rolls back in the background and returns the connection, or closes it. A dirty connection never goes
/// into a pool.
pub(crate) struct Lease<C: Connection> {
    pub(super) entry: Arc<Entry<C>>,
    pub(super) terms: Terms,
    /// `true` if the unit wrote or locked, as far as its statements show.
    pub(super) wrote: bool,
    /// `true` if a statement failed, perhaps because the connection is lost.
    pub(super) failed: bool,
    /// `true` if a stream was dropped before its last row. The remaining rows precede the next reply.
    pub(super) rows_left: bool,
    /// The time of the last reply of the server.
    last_reply: Instant,
    /// `true` if the connection must be verified before its next use: it was lent, a hook ran, or an error may have
    /// ended the transaction.
    pub(super) unverified: bool,
    /// `true` if a statement ran that its type does not describe: it may have been a `COMMIT`. The marker keeps such a
    /// unit from being committed. Before that, the next statement must not run without a transaction.
    pub(super) undescribed: bool,
    /// The number of the connection that was lent, since the application may put another one in its place.
    lent: Option<i64>,
    /// `true` if a statement in text, a hook or the application may have left state on the connection.
    pub(super) touched: bool,
    /// `true` if an error shows that prepared statements may no longer fit the database. The connection is not used
    /// again.
    pub(super) stale: bool,
    /// How often the server had been left when the connection was checked out.
    leaves: usize,
    /// The statements that may have ended the transaction since its marker was last seen.
    unseen: Unseen,
    /// The counter of messages that may end the transaction, and its value when the lease began to watch it.
    watch: Option<(Arc<Watch>, Counted)>,
    /// The result of the end of the transaction, unless that was its commit.
    pub(super) undone: Undone,
    /// `true` if a decision was sent. Another connection must then read the outcome.
    pub(super) maybe_decided: bool,
    /// `true` if a prepare was sent. The connection must finish the branch, or be closed so that others can.
    pub(super) maybe_prepared: bool,
    /// `true` if the server confirmed the prepare.
    pub(super) prepared: bool,
    /// The place of the unit among the spans, once it has begun.
    pub(super) unit: UnitContext,
    pub(super) transaction: Transaction,
    condition: Condition,
    pooled: Option<Box<dyn Pooled<C>>>,
    /// Declared after the connection, so that it is dropped once the connection was returned.
    _in_use: Option<InUse<C>>,
    /// `true` while the lease is cleaned up in the background.
    abandoned: bool,
    handle: Handle,
    background: TaskTracker,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// No transaction is open.
    Clean,
    /// The transaction of the unit is open.
    Open,
    /// A statement was sent and its reply was not read. Nothing more may be sent.
    Incomplete,
    /// Like `Incomplete`, for a step that ends the transaction or finishes a branch. Such a step is never cancelled: a
    /// server whose commit waits for a standby would show data that no other server has.
    Ending,
}

impl<C: Connection> Lease<C> {
    /// Creates the lease of a connection that was just checked out. Without one, it has nothing to do.
    pub(super) fn new(
        entry: Arc<Entry<C>>,
        terms: Terms,
        pooled: Option<Box<dyn Pooled<C>>>,
        handle: Handle,
        background: TaskTracker,
    ) -> Self {
        Self {
            // An outer connection does not count as one of the pool.
            _in_use: (pooled.is_some() && !terms.within_outer)
                .then(|| InUse::begin(Arc::clone(&entry))),
            terms,
            wrote: false,
            failed: false,
            rows_left: false,
            last_reply: Instant::now(),
            unverified: false,
            undescribed: false,
            lent: None,
            touched: entry.options.cleaning == Cleaning::Always,
            stale: false,
            leaves: entry.leaves(),
            unseen: Unseen::Nothing,
            watch: None,
            undone: Undone::NothingKept,
            maybe_decided: false,
            maybe_prepared: false,
            prepared: false,
            unit: UnitContext::none(),
            transaction: Transaction::default(),
            condition: Condition::Clean,
            pooled,
            abandoned: false,
            handle,
            background,
            entry,
        }
    }

    /// Returns the connection and the terms of its transaction, for one statement. The connection counts as lost until
    /// [`completed`](Self::completed) records that the reply was read. So a dropped statement needs no code.
    ///
    /// Returns `None` once the connection is lost.
    pub(super) fn start(&mut self) -> Option<(&mut C, &Terms)> {
        self.start_as(Condition::Incomplete)
    }

    /// Returns the same for a step that ends the transaction or finishes a branch. Such a step is never cancelled.
    pub(super) fn start_ending(&mut self) -> Option<(&mut C, &Terms)> {
        self.start_as(Condition::Ending)
    }

    fn start_as(&mut self, condition: Condition) -> Option<(&mut C, &Terms)> {
        if self.is_incomplete() {
            return None;
        }
        self.condition = condition;
        self.entry.log_statements(false);
        let pooled = self.pooled.as_mut()?;
        Some((pooled.connection(), &self.terms))
    }

    /// Returns the writes that stay prepared, if the next one may be one of them.
    ///
    /// Text may have changed the current database. Behind a pooler, the server may have another statement under that
    /// name. A node of a cluster may roll back at each execution, which old versions survive only once (MDEV-27649).
    pub(super) fn kept_writes(&self) -> Option<Arc<KeptWrites>> {
        let server = &self.terms.server;
        if self.touched || self.terms.within_outer || server.pooled || server.is_node {
            return None;
        }
        self.entry.kept_writes.clone()
    }

    /// Returns whether the connection is not to be used by a later unit.
    fn is_outdated(&self) -> bool {
        self.stale || (!self.terms.within_outer && self.leaves != self.entry.leaves())
    }

    /// Returns the connection for any use by the application.
    pub(super) fn lend(&mut self) -> &mut C {
        self.touched = true;
        self.lose_sight();
        self.entry.log_statements(true);
        self.pooled
            .as_mut()
            .expect("a lease keeps its connection until it is closed, and then it is no longer in a slot")
            .connection()
    }

    /// Records that the reply was read and that a transaction is open.
    pub(super) fn completed(&mut self) {
        self.condition = Condition::Open;
        self.rows_left = false;
        self.last_reply = Instant::now();
    }

    /// Records that the reply was read and that no transaction is open.
    pub(super) fn ended(&mut self) {
        self.condition = Condition::Clean;
        self.unverified = false;
        self.undescribed = false;
        self.unseen = Unseen::Nothing;
        self.maybe_prepared = false;
        self.prepared = false;
    }

    pub(super) fn is_incomplete(&self) -> bool {
        matches!(self.condition, Condition::Incomplete | Condition::Ending)
    }

    pub(super) fn is_clean(&self) -> bool {
        self.condition == Condition::Clean
    }

    /// Asks the server whether the statement that just failed met a conflict.
    pub(super) async fn met_conflict(&mut self, error: &Error) -> bool {
        let Some(error) = error.diesel() else {
            return false;
        };
        let limit = self.entry.timeouts.step;
        // Before the question, so that it is not counted as a statement of the application.
        self.settle_unseen();
        let Some((connection, _)) = self.start() else {
            return false;
        };
        let Ok(met) = timeout(limit, connection.met_conflict(error)).await else {
            return false;
        };
        self.completed();
        met
    }

    /// Marks the connection as stale if the error says so. Returns whether another connection may succeed.
    pub(super) fn note_stale(&mut self, error: &diesel::result::Error) -> bool {
        let staleness = C::staleness(error, &self.terms);
        self.stale |= staleness != Staleness::Fresh;
        if C::is_demotion(error) && !self.terms.read_only && !self.terms.within_outer {
            // A new connection may lead to the new primary.
            self.stale |= self.entry.leave_demoted_server();
        }
        staleness == Staleness::Stale
    }

    /// Reads the rest of the reply to the last statement.
    pub(super) async fn drain(&mut self) -> diesel::QueryResult<()> {
        let Some((connection, _)) = self.start() else {
            return Ok(());
        };
        let drained = connection.drain().await;
        self.completed();
        drained
    }

    /// Returns the reason why the transaction cannot be prepared, if there is one.
    pub(super) fn cannot_prepare(&self) -> Option<&str> {
        self.entry.cannot_prepare(&self.terms.server)
    }
}
