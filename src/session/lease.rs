//! One connection in the hands of one unit of work, from the begin of its transaction to its end.

// Files, each of which imports only from those before it: `reach`, `sight`, `leaving`.

mod leaving;
mod reach;
mod sight;

use std::sync::Arc;
use std::time::Instant;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::backend::{Connection, Staleness, Terms, Unseen};
use crate::bind::Access;
use crate::commit::Undone;
use crate::config::Cleaning;
use crate::pool::Pooled;
use crate::registry::{Entry, InUse};
use crate::trace::{Counted, Transaction, UnitContext, Watch};

/// A connection in a transaction of a unit.
///
/// Dropping it rolls back in the background and gives the connection back, or closes it: a dirty one never goes into
/// a pool.
pub(crate) struct Lease<C: Connection> {
    pub(super) entry: Arc<Entry<C>>,
    pub(super) terms: Terms,
    /// It wrote or locked, as far as its statements tell.
    pub(super) wrote: bool,
    /// A statement failed, and perhaps because the connection is lost.
    pub(super) failed: bool,
    /// A stream was dropped before its last row: the rest stands between us and the next reply.
    pub(super) rows_left: bool,
    /// When the server was heard of last.
    heard: Instant,
    /// The application has had the raw connection since it was last looked at.
    pub(super) unverified: bool,
    /// A statement ran that no type describes: it may have been a `COMMIT`. The marker keeps such a unit from being
    /// committed; before that, the next statement must not run without a transaction.
    pub(super) undescribed: bool,
    /// The number of the connection, since the application may put another one in its place.
    lent: Option<i64>,
    /// Something ran that may have left state on the connection: a statement in text, a hook, or the application itself.
    pub(super) touched: bool,
    /// An error said, or may have said, that what the connection keeps no longer fits the database: nobody uses it again.
    pub(super) stale: bool,
    /// What may have ended the transaction since its marker was last seen.
    unseen: Unseen,
    /// What counts statements in text that may end the transaction, and where it stood when the first of them ran.
    watch: Option<(Arc<Watch>, Counted)>,
    /// What the end of the transaction has left, where that was not its commit.
    pub(super) undone: Undone,
    /// A decision was sent: another connection must ask for its outcome.
    pub(super) maybe_decided: bool,
    /// A prepare was sent: the connection must finish it, or be closed so that others can.
    pub(super) maybe_prepared: bool,
    /// The server confirmed it.
    pub(super) prepared: bool,
    /// Where the unit stands among the spans, once it has begun.
    pub(super) unit: UnitContext,
    pub(super) transaction: Transaction,
    condition: Condition,
    pooled: Option<Box<dyn Pooled<C>>>,
    /// After the connection, so that it is dropped when that was given back.
    in_use: Option<InUse<C>>,
    /// Nobody waits for it any more: it is being cleaned up.
    abandoned: bool,
    handle: Handle,
    background: TaskTracker,
}

/// What may be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    /// No transaction is open.
    Clean,
    /// The transaction of the unit is open.
    Open,
    /// A statement was sent and its reply not read: nothing may be sent any more.
    Incomplete,
    /// The same with one that ends the transaction, or finishes what was prepared. It must not be cancelled: a server
    /// whose commit waits for a standby then shows what is kept nowhere else.
    Ending,
}

impl<C: Connection> Lease<C> {
    /// A connection fresh from the pool.
    pub(super) fn new(
        entry: Arc<Entry<C>>,
        terms: Terms,
        pooled: Box<dyn Pooled<C>>,
        handle: Handle,
        background: TaskTracker,
    ) -> Self {
        Self {
            // A connection of somebody else is none of the pool.
            in_use: (!terms.joined).then(|| InUse::begin(Arc::clone(&entry))),
            terms,
            wrote: false,
            failed: false,
            rows_left: false,
            heard: Instant::now(),
            unverified: false,
            undescribed: false,
            lent: None,
            touched: entry.options.cleaning == Cleaning::Always,
            stale: false,
            unseen: Unseen::Nothing,
            watch: None,
            undone: Undone::NothingKept,
            maybe_decided: false,
            maybe_prepared: false,
            prepared: false,
            unit: UnitContext::none(),
            transaction: Transaction::default(),
            condition: Condition::Clean,
            pooled: Some(pooled),
            abandoned: false,
            handle,
            background,
            entry,
        }
    }

    /// The connection and the terms of its transaction, for one statement. The connection counts as lost until
    /// [`completed`](Self::completed) says that the reply was read: so dropping the statement half-way needs no code.
    ///
    /// `None` once it is lost.
    pub(super) fn start(&mut self) -> Option<(&mut C, &Terms)> {
        self.start_as(Condition::Incomplete)
    }

    /// The same for a step that ends the transaction, or finishes what was prepared: it is never cancelled.
    pub(super) fn start_ending(&mut self) -> Option<(&mut C, &Terms)> {
        self.start_as(Condition::Ending)
    }

    fn start_as(&mut self, condition: Condition) -> Option<(&mut C, &Terms)> {
        if self.is_incomplete() {
            return None;
        }
        self.condition = condition;
        self.entry.listen(false);
        let pooled = self.pooled.as_mut()?;
        Some((pooled.connection(), &self.terms))
    }

    /// The connection, for the application to do with as it likes.
    pub(super) fn lend(&mut self) -> &mut C {
        self.touched = true;
        self.lose_sight();
        self.entry.listen(true);
        self.pooled
            .as_mut()
            .expect("a lease keeps its connection until it is closed, and then it is no longer in a slot")
            .connection()
    }

    /// The reply was read. A transaction is open.
    pub(super) fn completed(&mut self) {
        self.condition = Condition::Open;
        self.rows_left = false;
        self.heard = Instant::now();
    }

    /// The reply was read. No transaction is open.
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

    /// Whether the statement that just failed was given up for the sake of others.
    pub(super) async fn met_conflict(&mut self, error: &diesel::result::Error) -> bool {
        let limit = self.entry.timeouts.step;
        // What we ask is none of what may have ended the transaction.
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

    /// Notes what an error says of the connection. Returns whether another connection may do what failed.
    pub(super) fn note_stale(&mut self, error: &diesel::result::Error) -> bool {
        let staleness = C::staleness(error, &self.terms);
        self.stale |= staleness != Staleness::Fresh;
        staleness == Staleness::Stale
    }

    /// Reads what is left of the reply to the last statement.
    pub(super) async fn drain(&mut self) -> diesel::QueryResult<()> {
        let Some((connection, _)) = self.start() else {
            return Ok(());
        };
        let drained = connection.drain().await;
        self.completed();
        drained
    }

    /// Notes what the next statement does.
    ///
    /// Returns whether it is the first that writes.
    pub(super) fn note(&mut self, access: Access) -> bool {
        let first = access == Access::Write && !self.wrote;
        self.wrote |= access == Access::Write;
        first
    }

    /// Why the transaction cannot be prepared, if so.
    pub(super) fn cannot_prepare(&self) -> Option<&str> {
        self.entry.cannot_prepare(&self.terms.server)
    }
}
