//! Savepoints over all binds of a session, including binds that are first used while a savepoint is open.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::future::join_all;

use crate::backend::SavepointStep;
use crate::error::{AbortReason, Error, Waiting};
use crate::session::Session;
use crate::session::closure::WorkOnce;
use crate::session::lent::Lent;
use crate::session::session::Shared;
use crate::session::unit_hooks::Mark;

impl Session {
    /// Runs `work` as a part of the unit that can be undone by itself. If the closure returns `Err`, all binds roll
    /// back to their state before the call.
    ///
    /// A bind that is first used within the closure rolls back to the begin of its transaction. Savepoints nest. The
    /// unit cannot be ended within the closure.
    ///
    /// # Errors
    ///
    /// The error of the closure, or an [`Error`] if a savepoint could not be set or released. The unit can then only be
    /// rolled back. It also can only be rolled back if the closure failed and its part could not be undone.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future makes the unit abort-only.
    pub async fn savepoint<R, E, F>(&mut self, work: F) -> Result<R, E>
    where
        for<'s> F: AsyncFnOnce(&'s mut Session) -> Result<R, E>
            + WorkOnce<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        let mark = self.hooks().mark();
        let mut open = OpenSavepoint::set(self).await?;
        let lent = Lent::of(self);
        let result = work(self).await;
        match lent.result(self, result) {
            Ok(value) => {
                open.end(SavepointStep::Release).await?;
                Ok(value)
            }
            Err(error) => {
                match open.end(SavepointStep::RollBack).await {
                    Ok(()) => self.undo_hooks(mark).await,
                    // The unit is abort-only then: its end undoes the part.
                    Err(failed) => {
                        tracing::debug!(error = %failed, "a savepoint could not be undone");
                    }
                }
                Err(error)
            }
        }
    }

    /// Removes the hooks of a part that was undone, and runs its hooks after a roll-back.
    async fn undo_hooks(&self, mark: Mark) {
        let undone = self.hooks().undo(mark, self.core().options.hooks_within());
        if undone.is_empty() {
            return;
        }
        // Cancellation safety: the hooks run on a task of their own.
        let unit = self.core().unit();
        let ending = async move {
            undone.rolled_back(unit).await;
            Ok(())
        };
        if let Err(stopped) = self.in_background(unit, ending).await {
            tracing::debug!(error = %stopped, "the hooks of a savepoint were stopped");
        }
    }
}

/// A savepoint that is open on all binds. Dropping it before its end makes the unit abort-only.
struct OpenSavepoint {
    shared: Arc<Shared>,
    depth: usize,
    ended: bool,
}

impl OpenSavepoint {
    async fn set(session: &Session) -> Result<Self, Error> {
        let core = session.core();
        core.check_open()?;
        let depth = core.savepoints.fetch_add(1, Ordering::SeqCst) + 1;
        let open = Self {
            shared: Arc::clone(&session.shared),
            depth,
            ended: false,
        };
        open.on_all(SavepointStep::Set).await?;
        Ok(open)
    }

    async fn end(&mut self, step: SavepointStep) -> Result<(), Error> {
        self.shared.core.check_open()?;
        self.on_all(step).await?;
        self.ended = true;
        Ok(())
    }

    async fn on_all(&self, step: SavepointStep) -> Result<(), Error> {
        let deadline = self.shared.core.deadline();
        let steps = self.shared.core.slots().map(|slot| async move {
            // Cancellation safety: at the deadline the connection counts as lost, and the unit becomes abort-only.
            deadline
                .bound(
                    slot.key(),
                    Waiting::Statement,
                    slot.savepoint(step, self.depth),
                )
                .await?
        });
        join_all(steps).await.into_iter().collect()
    }
}

impl Drop for OpenSavepoint {
    fn drop(&mut self) {
        let core = &self.shared.core;
        core.savepoints.fetch_sub(1, Ordering::SeqCst);
        if !self.ended {
            core.abort_unit(AbortReason::Incomplete);
        }
    }
}
