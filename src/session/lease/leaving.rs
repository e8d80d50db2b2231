//! The last steps of a lease: its connection is rolled back, cleaned and returned to its pool, or closed.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::backend::{Connection, Unseen};
use crate::commit::{Fault, Undone};
use crate::config::Cleaning;
use crate::session::lease::{Condition, Lease};

/// The time limit for each step that cleans a connection up.
const CLEANING: Duration = Duration::from_secs(5);

impl<C: Connection> Lease<C> {
    /// Rolls back, or closes the connection if it cannot. Returns whether it is certain that nothing is kept.
    ///
    /// If the future is dropped, the connection is closed.
    pub(in crate::session) async fn roll_back(&mut self) -> Undone {
        if !self.is_clean() {
            self.roll_back_or_close().await;
        }
        self.undone
    }

    async fn roll_back_or_close(&mut self) {
        if self.is_incomplete() || self.maybe_prepared {
            return self.close().await;
        }
        // A connection that reads each reply one statement late would confirm a roll-back that did not happen. One
        // whose marker is gone may be in another transaction.
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
                match fault {
                    Fault::TransactionEnded(_) => self.gone(),
                    Fault::NonTransactional(_) => self.undone = Undone::NonTransactional,
                    _ => {}
                }
                self.close().await;
            }
            Err(_) => {
                tracing::debug!(
                    bind = self.entry.key,
                    "a roll-back exceeded its time limit: the connection is closed"
                );
                self.close().await;
            }
        }
    }

    /// Rolls back, and restores the connection to the state of a fresh one of its pool, or closes it.
    async fn clean_up(&mut self) -> Undone {
        let undone = self.roll_back().await;
        // The span of the transaction ends here: the clean-up is not part of it.
        drop(std::mem::take(&mut self.transaction));
        if self.is_outdated() && !self.terms.within_outer {
            self.close().await;
            return undone;
        }
        let own = self.terms.within_outer || self.entry.options.cleaning == Cleaning::Never;
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
                        "a unit changed the state of its connection: the connection is closed"
                    );
                    self.close().await;
                }
            }
        }
        undone
    }

    /// Closes the connection in any state. Cancels a running statement of the application, or the begin.
    ///
    /// The lease keeps the connection until it is closed, so that a dropped future does not return it to the pool.
    pub(in crate::session) async fn close(&mut self) {
        // Nothing can be cancelled on a file, and a connection with a running statement is not touched. If a `COMMIT` of
        // the application waits for a standby, PostgreSQL would keep it without the standby.
        let cancels = !C::IS_FILE
            && self.condition == Condition::Incomplete
            && self.entry.may_cancel(&self.terms.server)
            && self.is_harmless();
        self.hang_up(cancels).await;
    }

    /// Closes the connection as the death of the process does: nothing is cancelled, and no reply is read.
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
        if cancels && let Some(cancelling) = connection.cancel(self.entry.tls.as_ref()) {
            // The server keeps the locks of a closed connection until its statement ends.
            let _ = timeout(CLEANING, cancelling).await;
        }
        connection.retire().await;
        // Not earlier: a statement of SQLite is counted when it runs on the thread of the connection.
        let is_unseen = self.settle_unseen() != Unseen::Nothing;
        // Closing an outer connection undoes its transaction, which is more than this unit.
        let is_open =
            self.terms.within_outer && !self.terms.sandboxed && !self.is_clean() && self.wrote;
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
        if self.is_clean() && !self.touched && !self.is_outdated() {
            // bb8 spawns a task when a connection is returned, which needs a runtime.
            let _runtime = self.handle.enter();
            // The span ends before the connection has another user.
            drop(std::mem::take(&mut self.transaction));
            drop(pooled);
            return;
        }
        let abandoned = self.abandoned;
        let husk = Lease::new(
            Arc::clone(&self.entry),
            self.terms.clone(),
            None,
            self.handle.clone(),
            self.background.clone(),
        );
        let mut rest = std::mem::replace(self, husk);
        rest.pooled = Some(pooled);
        rest.abandoned = true;
        if abandoned {
            // The runtime is shutting down: it has dropped the task of the clean-up.
            close_without_runtime(rest);
        } else {
            let leaving = async move {
                if let Some(fault) = rest.clean_up().await.fault() {
                    tracing::warn!(
                        bind = rest.entry.key,
                        %fault,
                        "a session was dropped, and the roll-back of its unit on this bind is not confirmed: check \
                         the data"
                    );
                }
            };
            self.background.spawn_on(leaving, &self.handle);
        }
    }
}

/// Closes a connection whose runtime is gone, on a thread of its own, because a statement of SQLite may still run.
fn close_without_runtime<C: Connection>(mut lease: Lease<C>) {
    let closing = move || {
        if let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() {
            runtime.block_on(async {
                // The network drivers ended with the runtime, so nothing can be cancelled.
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
