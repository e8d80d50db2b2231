//! One connection in the hands of one unit of work, from the begin of its transaction to its end.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use crate::backend::{Connection, Terms};
use crate::bind::Access;
use crate::commit::Fault;
use crate::error::{AbortReason, Error};
use crate::pool::Pooled;
use crate::registry::{Entry, InUse};
use crate::trace::{Transaction, UnitContext};

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
    /// The application has had the raw connection since it was last looked at.
    pub(super) unverified: bool,
    /// A statement ran that no type describes: it may have been a `COMMIT`. The marker keeps such a unit from being
    /// committed; before that, the next statement must not run without a transaction.
    pub(super) undescribed: bool,
    /// A prepare was sent: the connection must finish it, or be closed so that others can.
    pub(super) maybe_prepared: bool,
    /// The server confirmed it.
    pub(super) prepared: bool,
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
}

impl<C: Connection> Lease<C> {
    /// A connection fresh from the pool.
    pub(super) fn new(
        entry: Arc<Entry<C>>,
        unit: UnitContext,
        terms: Terms,
        pooled: Box<dyn Pooled<C>>,
        handle: Handle,
        background: TaskTracker,
    ) -> Self {
        Self {
            // A connection of somebody else is none of the pool.
            in_use: (!terms.joined).then(|| InUse::begin(Arc::clone(&entry))),
            entry,
            terms,
            wrote: false,
            failed: false,
            unverified: false,
            undescribed: false,
            maybe_prepared: false,
            prepared: false,
            unit,
            transaction: Transaction::default(),
            condition: Condition::Clean,
            pooled: Some(pooled),
            abandoned: false,
            handle,
            background,
        }
    }

    /// The connection and the terms of its transaction, for one statement. The connection counts as lost until
    /// [`completed`](Self::completed) says that the reply was read: so dropping the statement half-way needs no code.
    ///
    /// `None` once it is lost.
    pub(super) fn start(&mut self) -> Option<(&mut C, &Terms)> {
        if self.condition == Condition::Incomplete {
            return None;
        }
        self.condition = Condition::Incomplete;
        self.entry.listen(false);
        let pooled = self.pooled.as_mut()?;
        Some((pooled.connection(), &self.terms))
    }

    /// The connection, for the application to do with as it likes.
    pub(super) fn lend(&mut self) -> &mut C {
        self.unverified = true;
        self.entry.listen(true);
        self.pooled
            .as_mut()
            .expect("a lease keeps its connection until it is closed, and then it is no longer in a slot")
            .connection()
    }

    /// The reply was read. A transaction is open.
    pub(super) fn completed(&mut self) {
        self.condition = Condition::Open;
    }

    /// The reply was read. No transaction is open.
    pub(super) fn ended(&mut self) {
        self.condition = Condition::Clean;
        self.unverified = false;
        self.undescribed = false;
        self.maybe_prepared = false;
        self.prepared = false;
    }

    pub(super) fn is_incomplete(&self) -> bool {
        self.condition == Condition::Incomplete
    }

    pub(super) fn is_clean(&self) -> bool {
        self.condition == Condition::Clean
    }

    /// Whether the statement that just failed was given up for the sake of others.
    pub(super) async fn met_conflict(&mut self, error: &diesel::result::Error) -> bool {
        let limit = self.entry.timeouts.step;
        let Some((connection, _)) = self.start() else {
            return false;
        };
        let Ok(met) = timeout(limit, connection.met_conflict(error)).await else {
            return false;
        };
        self.completed();
        met
    }

    /// Makes sure that the connection is where it was lent, after the application had it in its hands.
    pub(super) async fn verify(&mut self) -> Result<(), Fault> {
        if !self.unverified {
            return Ok(());
        }
        let Some((connection, terms)) = self.start() else {
            return Err(Fault::Incomplete);
        };
        let verified = connection.verify(terms).await;
        if !matches!(verified, Err(Fault::Incomplete | Fault::Lost(_))) {
            self.completed();
        }
        if verified.is_ok() {
            self.unverified = false;
        }
        verified
    }

    /// The same before a statement, which also needs the transaction.
    pub(super) async fn verify_for_statement(&mut self) -> Result<(), Fault> {
        self.unverified |= std::mem::take(&mut self.undescribed);
        self.verify().await
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
    pub(super) fn cannot_prepare(&self) -> Option<String> {
        self.entry.cannot_prepare(&self.terms.server)
    }

    /// Rolls back and gives the connection back, or closes it.
    ///
    /// Dropping the future closes the connection.
    pub(super) async fn roll_back(&mut self) {
        if self.is_clean() {
            return;
        }
        if self.is_incomplete() || self.maybe_prepared {
            return self.close().await;
        }
        // A connection that reads each reply one statement late would confirm a roll-back that did not happen.
        let verified = timeout(CLEANING, self.verify()).await;
        if matches!(
            verified,
            Err(_) | Ok(Err(Fault::Lost(_) | Fault::Incomplete))
        ) {
            return self.close().await;
        }
        let rolled_back = match self.start() {
            Some((connection, terms)) => timeout(CLEANING, connection.rollback(terms)).await,
            None => return,
        };
        match rolled_back {
            Ok(Ok(())) => self.ended(),
            Ok(Err(error)) => {
                tracing::debug!(bind = self.entry.key, %error, "a roll-back failed: the connection is closed");
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

    /// Closes the connection, whatever it is doing.
    ///
    /// The connection stays in here until it is closed: a future that is dropped half-way must not give it back.
    pub(super) async fn close(&mut self) {
        let incomplete = self.is_incomplete();
        self.hang_up(incomplete).await;
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
        if self.is_clean() {
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
            unverified: self.unverified,
            undescribed: self.undescribed,
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
            self.background
                .spawn_on(async move { rest.roll_back().await }, &self.handle);
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
            Fault::SandboxEnded => Self::SandboxEnded,
            _ => Self::Incomplete,
        }
    }
}
