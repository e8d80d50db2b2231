//! The end of a unit, for whoever has the session: commit and roll-back.

use futures_util::FutureExt as _;

use crate::bind::Bind;
use crate::commit::{self, CommitError, Committed, Orders};
use crate::error::Error;
use crate::session::Session;

impl Session {
    /// Commits what the unit did on all binds, or none of it.
    ///
    /// Where several binds wrote, all but one prepare, and the last commits its own work together with the decision:
    /// three round trips, whatever the number of binds. Where one wrote, it is a plain commit. Where none did, nothing
    /// can go wrong. In a session that has [joined](crate::SessionOptions::within) the transactions of others, nothing is committed
    /// yet, and the result [says so](Committed::is_joined).
    ///
    /// Hooks [before](Self::before_commit) the commit run first, those [after](Self::after_commit) it last.
    ///
    /// # Errors
    ///
    /// Each variant of [`CommitError`] says what became of the data. After any of them the session begins a new unit,
    /// except after [`Busy`](CommitError::Busy) and [`InsideTransaction`](CommitError::InsideTransaction), which change
    /// nothing.
    ///
    /// # Cancel safety
    ///
    /// The commit runs on a task of its own: once polled, dropping this future stops hearing of the outcome, not the
    /// commit and the hooks after it. While a hook before the commit runs, nothing has begun; dropped there, the unit can
    /// only be rolled back.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub async fn commit_all(&mut self) -> Result<Committed, CommitError> {
        self.core().check_may_end()?;
        self.finish().await
    }

    /// Rolls back what the unit did on all binds.
    ///
    /// A server that cannot be reached rolls back by itself, as soon as it sees that its connection is gone.
    ///
    /// # Errors
    ///
    /// [`CommitError::Busy`] and [`CommitError::InsideTransaction`]: nothing was changed.
    /// [`CommitError::TransactionEnded`] if the roll-back is not certain on a bind: a statement in text, a hook or the raw
    /// connection has ended the transaction there, or may have. Typed queries cannot.
    ///
    /// # Cancel safety
    ///
    /// Once polled, the roll-back goes on in the background when the future is dropped.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime, if there is anything to roll back.
    pub async fn rollback_all(&mut self) -> Result<(), CommitError> {
        self.core().check_may_end()?;
        self.abandon().await
    }

    /// Commits what the unit did on one bind, apart from all others, whose transactions stay open.
    ///
    /// This is what the unit of work is there to avoid: when a later `commit_all` fails, this bind has committed. For
    /// a log that must survive a roll-back, for instance. Binds that share its connection commit with it. If it fails,
    /// all other binds are rolled back.
    ///
    /// # Errors
    ///
    /// As [`commit_all`](Self::commit_all); [`Error::UnknownBind`] if the bind is not registered.
    ///
    /// # Cancel safety
    ///
    /// As [`commit_all`](Self::commit_all).
    ///
    /// # Panics
    ///
    /// As [`commit_all`](Self::commit_all).
    pub async fn commit_only<B: Bind>(&mut self, _: B) -> Result<Committed, Error> {
        self.core().check_may_end()?;
        if let Some(refused) = self.refuse().await? {
            return Err(refused.into());
        }
        let (unit, participants) = self.core().take_one::<B>()?;
        let orders = self.orders(unit);
        let committed = self
            .in_background(unit, self.ending(orders, participants))
            .await;
        if let Err(error) = &committed {
            if !error.is_rolled_back() {
                self.hooks().take(None).discard(self.core().unit());
            }
            // What the error says of the unit is to be true of all binds: a unit that goes on without one of them would
            // be torn by its commit.
            let abandoned = self.abandon().await;
            if let (Err(ended), true) = (abandoned, error.is_rolled_back()) {
                return Err(ended.into());
            }
        }
        Ok(committed?)
    }

    /// Commits one bind after the other: what cannot be atomic, asked for by name.
    ///
    /// For units whose writers cannot commit as one (two SQLite files in WAL), in a session with
    /// [`best_effort`](crate::SessionOptions::best_effort). A failure half-way leaves the unit torn.
    ///
    /// # Errors
    ///
    /// [`CommitError::Partial`] when the unit is torn, or may be. [`CommitError::RolledBack`] when the first commit
    /// failed, and nothing is kept.
    ///
    /// # Cancel safety
    ///
    /// As [`commit_all`](Self::commit_all).
    ///
    /// # Panics
    ///
    /// As [`commit_all`](Self::commit_all).
    pub async fn commit_all_best_effort(&mut self) -> Result<Committed, CommitError> {
        self.core().check_may_end()?;
        self.approve().await?;
        let (unit, participants, hooks) = self.take_all()?;
        let orders = Orders {
            rehearses: false,
            ..self.orders(unit)
        };
        let ending = match self.core().is_joined() {
            true => commit::release(orders, participants).boxed(),
            false => commit::best_effort(orders, participants).boxed(),
        };
        let kept = self.kept();
        self.in_background(unit, async move {
            let result = ending.await;
            hooks.ended(unit, result, kept).await
        })
        .await
    }
}
