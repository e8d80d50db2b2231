//! One connection in the hands of one unit of work, from the begin of its transaction to its end.

// Files, each of which imports only from those before it: `reach`, `sight`.

mod reach;
mod sight;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::backend::{Connection, Staleness, Terms, Unseen};
use crate::bind::Access;
use crate::commit::{Fault, Undone};
use crate::config::Cleaning;
use crate::error::{AbortReason, Error};
use crate::pool::Pooled;
use crate::registry::{Entry, InUse};
use crate::trace::{Counted, Transaction, UnitContext, Watch};

/// How long a connection that nobody waits for may take to become clean.
const CLEANING: Duration = Duration::from_secs(5);

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

    /// Rolls back and gives the connection back, or closes it. Tells what that leaves.
    ///
    /// Dropping the future closes the connection.
    pub(super) async fn roll_back(&mut self) -> Undone {
        if !self.is_clean() {
            self.undo().await;
        }
        self.undone
    }

    async fn undo(&mut self) {
        if self.is_incomplete() || self.maybe_prepared {
            return self.close().await;
        }
        // A connection that reads each reply one statement late would confirm a roll-back that did not happen. One whose
        // marker is gone may be in the transaction of somebody else.
        match timeout(CLEANING, self.verify()).await {
            Ok(Ok(()) | Err(Fault::NestedTransaction | Fault::Refused(_))) => {}
            _ => return self.close().await,
        }
        let unseen = self.settle_unseen();
        let rolled_back = match self.start_ending() {
            Some((connection, terms)) => {
                timeout(CLEANING, connection.rollback(terms, unseen)).await
            }
            None => return,
        };
        match rolled_back {
            Ok(Ok(())) => self.ended(),
            Ok(Err(fault)) => {
                tracing::debug!(bind = self.entry.key, %fault, "a roll-back failed: the connection is closed");
                if matches!(fault, Fault::Ended(_)) {
                    self.gone();
                }
                self.close().await;
            }
            Err(_) => {
                tracing::debug!(
                    bind = self.entry.key,
                    "a roll-back took too long: the connection is closed"
                );
                self.close().await;
            }
        }
    }

    /// Rolls back, and makes the connection as a fresh one of its pool is, or closes it.
    async fn tidy_up(&mut self) -> Undone {
        let undone = self.roll_back().await;
        // What follows is none of the unit's.
        drop(std::mem::take(&mut self.transaction));
        if self.stale && !self.terms.joined {
            self.close().await;
            return undone;
        }
        let own = self.terms.joined || self.entry.options.cleaning == Cleaning::Never;
        if std::mem::take(&mut self.touched) && !own {
            let cleaned = match self.start() {
                Some((connection, terms)) => timeout(CLEANING, connection.clean(terms)).await,
                None => return undone,
            };
            match cleaned {
                Ok(Ok(true)) => self.ended(),
                _ => {
                    tracing::debug!(
                        bind = self.entry.key,
                        "a connection is not as it was before its unit, and is closed"
                    );
                    self.close().await;
                }
            }
        }
        undone
    }

    /// Closes the connection, whatever it is doing. A statement of the application is cancelled, or the begin.
    ///
    /// The connection stays in here until it is closed: a future that is dropped half-way must not give it back.
    pub(super) async fn close(&mut self) {
        let cancels =
            self.condition == Condition::Incomplete && self.entry.may_cancel(&self.terms.server);
        self.hang_up(cancels).await;
    }

    /// Closes the connection as the death of the process does: nothing is cancelled, and no reply was ever read.
    #[cfg(feature = "testing")]
    pub(super) async fn cut(&mut self) {
        self.prepared = false;
        self.hang_up(false).await;
    }

    async fn hang_up(&mut self, cancels: bool) {
        let Some(pooled) = self.pooled.as_mut() else {
            return;
        };
        let connection = pooled.connection();
        if cancels && let Some(cancelling) = connection.cancel() {
            // Until its statement ends, a connection that was closed keeps its locks.
            let _ = timeout(CLEANING, cancelling).await;
        }
        connection.retire().await;
        // Not before: a statement of SQLite tells of itself when its turn has come.
        let is_unseen = self.settle_unseen() != Unseen::Nothing;
        // To close a connection that was joined does not end its transaction: whoever has that may still commit it.
        let is_open = self.terms.joined && !self.terms.sandboxed && !self.is_clean() && self.wrote;
        if (is_unseen || is_open) && self.undone == Undone::NothingKept {
            self.undone = Undone::Unconfirmed;
        }
        self.condition = Condition::Clean;
        if let Some(pooled) = self.pooled.take() {
            pooled.close();
        }
    }
}

impl<C: Connection> Drop for Lease<C> {
    fn drop(&mut self) {
        let Some(pooled) = self.pooled.take() else {
            return;
        };
        if self.is_clean() && !self.touched && !self.stale {
            // bb8 spawns when it takes a connection back, which needs a runtime.
            let _runtime = self.handle.enter();
            // Before the connection has another user.
            drop(std::mem::take(&mut self.transaction));
            drop(pooled);
            return;
        }
        let mut rest = Lease {
            entry: Arc::clone(&self.entry),
            terms: self.terms.clone(),
            wrote: self.wrote,
            failed: self.failed,
            rows_left: self.rows_left,
            heard: self.heard,
            unverified: self.unverified,
            undescribed: self.undescribed,
            lent: self.lent,
            touched: self.touched,
            stale: self.stale,
            unseen: self.unseen,
            watch: self.watch.take(),
            undone: self.undone,
            maybe_decided: self.maybe_decided,
            maybe_prepared: self.maybe_prepared,
            prepared: self.prepared,
            unit: self.unit.clone(),
            transaction: std::mem::take(&mut self.transaction),
            condition: self.condition,
            pooled: Some(pooled),
            in_use: self.in_use.take(),
            abandoned: true,
            handle: self.handle.clone(),
            background: self.background.clone(),
        };
        if self.abandoned {
            // The runtime dropped the task that was to clean up: it is shutting down.
            close_without_runtime(rest);
        } else {
            let leaving = async move {
                if let Some(fault) = rest.tidy_up().await.fault() {
                    tracing::warn!(
                        bind = rest.entry.key,
                        %fault,
                        "a session was dropped, and what its unit did is not certain to be rolled back"
                    );
                }
            };
            self.background.spawn_on(leaving, &self.handle);
        }
    }
}

/// Closes a connection whose runtime is gone, on a thread of its own: waiting for a statement of SQLite takes time.
fn close_without_runtime<C: Connection>(mut lease: Lease<C>) {
    let closing = move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
            runtime.block_on(async {
                // The drivers of the network are gone with the runtime, so there is nobody to cancel anything.
                if let Some(mut pooled) = lease.pooled.take() {
                    pooled.connection().retire().await;
                    pooled.close();
                }
            });
        }
    };
    let spawned = std::thread::Builder::new()
        .name("diesel-binds-close".into())
        .spawn(closing);
    if let Err(error) = spawned {
        tracing::error!(%error, "no thread to close a connection with an open transaction");
    }
}

impl AbortReason {
    pub(super) fn on(self, bind: &'static str) -> Error {
        Error::AbortOnly { bind, reason: self }
    }
}

impl From<&Fault> for AbortReason {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::DeadlineExceeded | Fault::TimedOut => Self::DeadlineExceeded,
            Fault::NestedTransaction => Self::NestedTransaction,
            Fault::Ended(_) => Self::TransactionEnded,
            Fault::OutlivedRecords => Self::OutlivedRecords,
            Fault::SandboxEnded => Self::SandboxEnded,
            Fault::Exchanged => Self::Exchanged,
            _ => Self::Incomplete,
        }
    }
}
