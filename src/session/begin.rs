//! The begin of a transaction on a lease: the properties of the server, the begin, its hooks, and open savepoints.

use std::sync::Arc;

use crate::backend::{self, Connection, SavepointStep, Server};
use crate::error::{AbortReason, Error};
use crate::session::lease::Lease;
use crate::trace::Transaction;

impl<C: Connection> Lease<C> {
    /// Reads the properties of the server, unless they have become known in the meantime.
    pub(super) async fn inspect(&mut self) -> Result<Arc<Server>, Error> {
        let entry = Arc::clone(&self.entry);
        let inspected = match self.start() {
            // Not stored for the pool, whose server may be another one.
            Some((connection, terms)) if terms.within_outer => {
                connection.inspect().await.map(Arc::new)
            }
            Some((connection, _)) => entry.server(connection).await,
            None => Err(diesel::result::Error::BrokenTransactionManager),
        };
        let server = inspected.map_err(|source| Error::Begin {
            bind: entry.key,
            source,
        })?;
        self.ended();
        Ok(server)
    }

    /// Begins the transaction of the unit. Returns how many savepoints [`run_hooks`](Self::run_hooks) must set.
    pub(super) async fn begin(&mut self) -> Result<usize, Error> {
        let entry = Arc::clone(&self.entry);
        let bind = entry.key;
        // A roll-back to a savepoint must not undo the settings of a hook, so the savepoints are set after the hooks.
        let later = match entry.after_begin.is_empty() {
            true => 0,
            false => std::mem::take(&mut self.terms.savepoints),
        };
        let mut transaction = Transaction::begin(&self.unit, self.terms.server.attributes(bind));
        let begun = match self.start() {
            Some((connection, terms)) => {
                backend::observe(connection, &mut transaction);
                match terms.within_outer {
                    true => connection.begin_within_outer(terms).await,
                    false => connection.begin(terms).await,
                }
            }
            None => Err(diesel::result::Error::BrokenTransactionManager),
        };
        self.transaction = transaction;
        if self.terms.within_outer && !self.terms.sandboxed && begun.is_err() {
            // An outer connection on which the unit could not begin belongs to its owner and is left as it is.
            self.ended();
        }
        // A failed begin may still have opened a transaction. The lease stays incomplete, so its connection is closed.
        self.terms.prior = begun.map_err(|source| entry.not_begun(source))?;
        self.completed();
        if !entry.after_begin.is_empty() {
            let numbered = self.number_connection().await;
            numbered.map_err(|source| Error::Begin { bind, source })?;
        }
        Ok(later)
    }

    /// Runs the hooks at the begin, and then sets the open savepoints.
    pub(super) async fn run_hooks(&mut self, later: usize) -> Result<(), Error> {
        let entry = Arc::clone(&self.entry);
        let bind = entry.key;
        for hook in entry.after_begin.iter() {
            // A hook can run any statement that the application can run on its raw connection.
            self.touched = true;
            self.lose_sight();
            let Some((connection, _)) = self.start() else {
                return Err(AbortReason::Incomplete.on(bind));
            };
            let result = entry.beginning(hook(connection)).await;
            self.completed();
            result.map_err(|source| Error::AfterBegin { bind, source })?;
            if self.set_nothing() {
                return Err(Error::WithoutEffect { bind });
            }
        }
        if later > 0 {
            let verified = self.verify().await;
            verified.map_err(|fault| AbortReason::from(&fault).on(bind))?;
        }
        for depth in 1..=later {
            self.savepoint(SavepointStep::Set, depth).await?;
        }
        Ok(())
    }

    /// Carries out a step of a savepoint.
    pub(super) async fn savepoint(
        &mut self,
        step: SavepointStep,
        depth: usize,
    ) -> Result<(), Error> {
        let bind = self.entry.key;
        // Before the step, so that its `ROLLBACK TO` is not counted as a statement of the application.
        self.settle_unseen();
        let Some((connection, _)) = self.start() else {
            return Err(AbortReason::Incomplete.on(bind));
        };
        let result = connection.savepoint(step, depth).await;
        self.completed();
        result.map_err(|source| Error::Query { bind, source })
    }
}
