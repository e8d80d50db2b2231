//! Units of work as closures: committed on `Ok`, rolled back on everything else.

use crate::commit::Committed;
use crate::error::Error;
use crate::registry::Binds;
use crate::session::closure::{Work, WorkOnce};
use crate::session::lent::Lent;
use crate::session::{Session, SessionOptions};

impl Binds {
    /// Runs `work` in a unit of its own: commits all binds on `Ok`, rolls all back on `Err`, panic or cancel.
    ///
    /// Inside, the unit cannot be ended: the result of the closure does that.
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
    /// What the closure returns; [`Error::Commit`] if its `Ok` could not be committed; [`Error::AbortOnly`] if it put
    /// another session in the place of the one that it was lent ([`AbortReason::Exchanged`]), and nothing was committed.
    ///
    /// [`AbortReason::Exchanged`]: crate::AbortReason::Exchanged
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before the closure is done rolls back in the background; after that, the commit goes on.
    pub async fn transaction<R, E, F>(&self, work: F) -> Result<R, E>
    where
        for<'s> F: AsyncFn(&'s mut Session) -> Result<R, E>
            + Work<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        self.transaction_with(SessionOptions::default(), work)
            .await
            .map(|(result, _)| result)
    }

    /// The same, with options of the session, and with what the commit returned.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Self::transaction).
    ///
    /// # Cancel safety
    ///
    /// As [`transaction`](Self::transaction).
    pub async fn transaction_with<R, E, F>(
        &self,
        options: SessionOptions,
        work: F,
    ) -> Result<(R, Committed), E>
    where
        for<'s> F: AsyncFn(&'s mut Session) -> Result<R, E>
            + Work<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        let mut session = Session::new(self, options, true);
        let lent = Lent::of(&session);
        let result = work(&mut session).await;
        let result = lent.result(&session, result);
        end(&mut session, result).await
    }

    /// The same for a closure that moves what it captures, and so can run only once.
    ///
    /// # Errors
    ///
    /// As [`transaction`](Self::transaction).
    ///
    /// # Cancel safety
    ///
    /// As [`transaction`](Self::transaction).
    pub async fn transaction_once<R, E, F>(
        &self,
        options: SessionOptions,
        work: F,
    ) -> Result<(R, Committed), E>
    where
        for<'s> F: AsyncFnOnce(&'s mut Session) -> Result<R, E>
            + WorkOnce<&'s mut Session, Result<R, E>, Future: Send>
            + Send,
        E: From<Error> + Send,
        R: Send,
    {
        let mut session = Session::new(self, options, true);
        let lent = Lent::of(&session);
        let result = work(&mut session).await;
        let result = lent.result(&session, result);
        end(&mut session, result).await
    }
}

/// Commits or rolls back, as the result of the closure says.
pub(super) async fn end<R, E: From<Error>>(
    session: &mut Session,
    result: Result<R, E>,
) -> Result<(R, Committed), E> {
    match result {
        Ok(value) => {
            let committed = session.finish().await.map_err(Error::from)?;
            Ok((value, committed))
        }
        Err(error) => {
            // Nothing can be in use any more, and a roll-back that fails closes its connection. The error of the
            // application stays.
            if let Err(uncertain) = session.abandon().await {
                tracing::warn!(error = %uncertain, "a unit has failed, and its roll-back is not certain");
            }
            Err(error)
        }
    }
}
