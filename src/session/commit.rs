//! The methods that end a unit of a session: commit and roll-back.

use crate::bind::Bind;
use crate::commit::{Commit, CommitError};
use crate::error::Error;
use crate::session::Session;

impl Session {
    /// Commits the work of the unit on all binds, or on none.
    ///
    /// If several binds wrote, all but one prepare. The last one commits its own work together with the decision. This
    /// takes three round trips, whatever the number of binds. If one bind wrote, the commit is a plain one. If none
    /// wrote, there is no data to commit. In a session [within](crate::SessionOptions::within) outer transactions,
    /// nothing is committed yet: the result is [`Commit::Released`].
    ///
    /// In a session with [`best_effort`](crate::SessionOptions::best_effort), a unit whose writers cannot commit
    /// atomically is committed on one bind after the other, and may be kept in part ([`CommitError::Partial`]).
    ///
    /// Hooks [before](Self::before_commit) the commit run first, hooks [after](Self::after_commit) it last.
    ///
    /// # Errors
    ///
    /// Each variant of [`CommitError`] states the outcome for the data. After most of them, the session begins a new
    /// unit. [`Busy`](CommitError::Busy) and [`InsideTransaction`](CommitError::InsideTransaction) change nothing.
    ///
    /// # Cancel safety
    ///
    /// The commit runs on a task of its own. Once this future has been polled, dropping it stops neither the commit nor
    /// the hooks after it. While a hook before the commit runs, nothing of the commit has begun. If the future is
    /// dropped there, the unit can only be rolled back.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime.
    pub async fn commit_all(&mut self) -> Result<Commit, CommitError> {
        self.core().check_may_end()?;
        self.commit_unit().await
    }

    /// Rolls back the work of the unit on all binds.
    ///
    /// An unreachable server rolls back by itself as soon as it notices that the connection is closed.
    ///
    /// # Errors
    ///
    /// [`CommitError::Busy`] and [`CommitError::InsideTransaction`], which change nothing.
    /// [`CommitError::TransactionEnded`] if the roll-back is not certain on a bind: a statement in text, a hook or the
    /// raw connection ended the transaction there, or may have (typed queries cannot end it), or the unit changed a table
    /// without transactions on MariaDB.
    ///
    /// # Cancel safety
    ///
    /// Once this future has been polled, dropping it does not stop the roll-back.
    ///
    /// # Panics
    ///
    /// If called outside of a tokio runtime while there is anything to roll back.
    pub async fn rollback_all(&mut self) -> Result<(), CommitError> {
        self.core().check_may_end()?;
        self.roll_back_unit().await
    }

    /// Commits the work of the unit on one bind, and leaves the transactions of all others open.
    ///
    /// This commit is not atomic with the rest of the unit: if a later `commit_all` fails, this bind has already
    /// committed. Use it, for example, for a log that must survive a roll-back. Binds that share the connection commit
    /// with it. If the commit fails, all other binds are rolled back.
    ///
    /// # Errors
    ///
    /// The errors of [`commit_all`](Self::commit_all), and [`Error::UnknownBind`] if the bind is not registered.
    ///
    /// # Cancel safety
    ///
    /// See [`commit_all`](Self::commit_all).
    ///
    /// # Panics
    ///
    /// See [`commit_all`](Self::commit_all).
    pub async fn commit_only<B: Bind>(&mut self, _: B) -> Result<Commit, Error> {
        self.core().check_may_end()?;
        self.roll_back_unless_committable().await?;
        let (unit, participants) = self.core().take_one::<B>()?;
        let committed = self
            .in_background(unit, self.ending(unit, participants))
            .await;
        if let Err(error) = &committed {
            if !error.is_rolled_back() {
                self.hooks().take(None).discard(self.core().unit());
            }
            // The outcome in the error must hold for all binds. A unit that went on without this bind would be kept in
            // part.
            let rolled_back = self.roll_back_unit().await;
            if let (Err(ended), true) = (rolled_back, error.is_rolled_back()) {
                return Err(ended.into());
            }
        }
        Ok(committed?)
    }
}
