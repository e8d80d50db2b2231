//! Units of work as closures: committed on `Ok`, rolled back on everything else.

use crate::commit::Commit;
use crate::error::Error;
use crate::registry::Binds;
use crate::session::closure::WorkOnce;
use crate::session::lent::Lent;
use crate::session::units::Units;
use crate::session::{Session, SessionOptions};

impl Binds {
    /// Runs `work` in a unit of its own: commits all binds on `Ok`, rolls all back on `Err`, panic or cancel.
    ///
    /// Inside, the unit cannot be ended: the result of the closure ends it. The closure runs once, so it may move its
    /// captures. [`Binds::with`] sets options of the unit, and returns the result of the commit as well.
    ///
    /// ```
    /// # #[cfg(all(feature = "sqlite", feature = "deadpool"))]
    /// # mod example {
    /// use diesel_binds::{Binds, Error, Session};
    ///
    /// async fn pay(session: &mut Session, amount: i64) -> Result<(), Error> {
    /// #   let _ = (session, amount);
    ///     // queries on any bind
    ///     Ok(())
    /// }
    ///
    /// async fn handle(binds: &Binds, amount: i64) -> Result<(), Error> {
    ///     binds.transaction(async |session| pay(session, amount).await).await
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The error of the closure. [`Error::Commit`] if the closure returned `Ok` and the commit failed.
    /// [`Error::AbortOnly`] if the closure exchanged the lent session for another one ([`AbortReason::Exchanged`]):
    /// nothing was committed.
    ///
    /// [`AbortReason::Exchanged`]: crate::error::AbortReason::Exchanged
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before the closure is done, the unit is rolled back in the background. After that, the
    /// commit goes on.
    pub async fn transaction<R, E, F>(&self, work: F) -> Result<R, E>
    where
        for<'s> F: AsyncFnOnce(&'s mut Session) -> Result<R, E>
            + WorkOnce<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        self.with(SessionOptions::default()).transaction(work).await
    }
}

impl Units<'_> {
    /// Runs `work` in a unit of its own with the options, as [`Binds::transaction`] does.
    ///
    /// # Errors
    ///
    /// See [`Binds::transaction`].
    ///
    /// # Cancel safety
    ///
    /// See [`Binds::transaction`].
    pub async fn transaction<R, E, F>(self, work: F) -> Result<R, E>
    where
        for<'s> F: AsyncFnOnce(&'s mut Session) -> Result<R, E>
            + WorkOnce<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        self.transaction_with_commit(work)
            .await
            .map(|(result, _)| result)
    }

    /// Runs `work` like [`transaction`](Self::transaction), and also returns the result of the commit. Within outer transactions,
    /// it is [`Commit::Released`].
    ///
    /// # Errors
    ///
    /// See [`Binds::transaction`].
    ///
    /// # Cancel safety
    ///
    /// See [`Binds::transaction`].
    pub async fn transaction_with_commit<R, E, F>(self, work: F) -> Result<(R, Commit), E>
    where
        for<'s> F: AsyncFnOnce(&'s mut Session) -> Result<R, E>
            + WorkOnce<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        let mut session = Session::new(self.binds, self.options, true);
        let lent = Lent::of(&session);
        let result = work(&mut session).await;
        let result = lent.result(&session, result);
        end(&mut session, result).await
    }
}

impl Session {
    /// Commits on `Ok` and rolls back on `Err`. An error comes with whether the unit met a conflict and nothing of it is
    /// kept.
    pub(super) async fn attempted<R, E: From<Error>>(
        &mut self,
        result: Result<R, E>,
    ) -> Result<(R, Commit), (E, bool)> {
        match result {
            Ok(value) => match self.commit_unit().await {
                Ok(commit) => Ok((value, commit)),
                Err(error) => {
                    let gave_way = self.can_run_again()
                        && error.is_rolled_back()
                        && (self.core().met_conflict() || error.is_retryable());
                    Err((Error::from(error).into(), gave_way))
                }
            },
            Err(error) => {
                // No lease can be in use any more, and a roll-back that fails closes its connection. The error of the
                // application is returned.
                let rolled_back = self.roll_back_unit().await;
                if let Err(uncertain) = &rolled_back {
                    tracing::warn!(error = %uncertain, "a unit has failed, and its roll-back is not confirmed: check the data");
                }
                let gave_way = self.can_run_again() && self.core().met_conflict();
                Err((error, rolled_back.is_ok() && gave_way))
            }
        }
    }

    /// Returns whether another attempt could succeed. Otherwise its error would hide the first one.
    fn can_run_again(&self) -> bool {
        !self.core().has_outer_connections() && !self.core().slots().any(|slot| slot.is_lost())
    }
}

/// Commits on `Ok` and rolls back on `Err`.
pub(super) async fn end<R, E: From<Error>>(
    session: &mut Session,
    result: Result<R, E>,
) -> Result<(R, Commit), E> {
    session.attempted(result).await.map_err(|(error, _)| error)
}
