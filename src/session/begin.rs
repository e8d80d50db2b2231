//! How a lease comes into the transaction of its unit: asking the server, the begin, hooks, savepoints.

use std::sync::Arc;

use crate::backend::{self, Connection, SavepointStep, Server};
use crate::error::{AbortReason, Error};
use crate::session::lease::Lease;
use crate::trace::Transaction;

impl<C: Connection> Lease<C> {
    /// Asks the server about itself, unless somebody did in the meantime.
    pub(super) async fn inspect(&mut self) -> Result<Arc<Server>, Error> {
        let entry = Arc::clone(&self.entry);
        let inspected = match self.start() {
            // It says nothing of the server behind the pool.
            Some((connection, terms)) if terms.joined => connection.inspect().await.map(Arc::new),
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

    /// Begins the transaction of the unit, before the hooks. Returns how many savepoints are to follow those.
    pub(super) async fn begin(&mut self) -> Result<usize, Error> {
        let entry = Arc::clone(&self.entry);
        let bind = entry.key;
        // What a hook sets must not be undone with a savepoint: those follow it.
        let later = match entry.after_begin.is_empty() {
            true => 0,
            false => std::mem::take(&mut self.terms.savepoints),
        };
        let mut transaction = Transaction::begin(&self.unit, self.terms.server.place(bind));
        let begun = match self.start() {
            Some((connection, terms)) => {
                backend::observe(connection, &mut transaction);
                match terms.joined {
                    true => connection.join(terms).await,
                    false => connection.begin(terms).await,
                }
            }
            None => Err(diesel::result::Error::BrokenTransactionManager),
        };
        self.transaction = transaction;
        if self.terms.joined && !self.terms.sandboxed && begun.is_err() {
            // A connection that is not there to be joined is none of ours, and stays as it is.
            self.ended();
        }
        // A begin that failed may have begun: the connection is thrown away, as one with an unread reply is.
        self.terms.begun = begun.map_err(|source| match self.terms.sandboxed {
            true => Error::SandboxLost { bind, source },
            false => Error::Begin { bind, source },
        })?;
        self.completed();
        if !entry.after_begin.is_empty() {
            let marked = self.mark().await;
            marked.map_err(|source| Error::Begin { bind, source })?;
        }
        Ok(later)
    }

    /// Runs the hooks at the begin, and sets the savepoints that follow them.
    pub(super) async fn run_hooks(&mut self, later: usize) -> Result<(), Error> {
        let entry = Arc::clone(&self.entry);
        let bind = entry.key;
        for hook in entry.after_begin.iter() {
            // It can do whatever the application can on its raw connection.
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
        // Our own `ROLLBACK TO` is none of what may have ended the transaction.
        self.settle_unseen();
        let Some((connection, _)) = self.start() else {
            return Err(AbortReason::Incomplete.on(bind));
        };
        let result = connection.savepoint(step, depth).await;
        self.completed();
        result.map_err(|source| Error::Query { bind, source })
    }
}
