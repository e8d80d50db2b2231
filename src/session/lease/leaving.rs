//! How a connection leaves its unit: rolled back, cleaned and given back to its pool, or closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::backend::{Connection, Unseen};
use crate::commit::{Fault, Undone};
use crate::config::Cleaning;
use crate::session::lease::{Condition, Lease};

/// How long a connection that nobody waits for may take to become clean.
const CLEANING: Duration = Duration::from_secs(5);

impl<C: Connection> Lease<C> {
    /// Rolls back and gives the connection back, or closes it. Tells what that leaves.
    ///
    /// Dropping the future closes the connection.
    pub(in crate::session) async fn roll_back(&mut self) -> Undone {
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
    pub(in crate::session) async fn close(&mut self) {
        let cancels =
            self.condition == Condition::Incomplete && self.entry.may_cancel(&self.terms.server);
        self.hang_up(cancels).await;
    }

    /// Closes the connection as the death of the process does: nothing is cancelled, and no reply was ever read.
    #[cfg(feature = "testing")]
    pub(in crate::session) async fn cut(&mut self) {
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
