//! The connection of one bind, lent to the application within the unit.

use std::fmt;

use diesel::query_builder::QueryId;
use tokio::sync::Mutex;

use crate::bind::Bind;
use crate::error::Error;
use crate::session::Session;
use crate::session::claim::{AsClaim, Claim};
use crate::session::target::{Target, sealed};

/// The connection of one bind, inside the transaction of the unit. See [`Session::connection`](crate::Session::connection).
///
/// The guard is a target of [`RunQueryDsl`](crate::RunQueryDsl) for queries of any kind. [`raw`](Self::raw) returns the
/// connection for Diesel's own functions. While the guard lives, the session runs no other query on the bind
/// ([`Error::BindBusy`]).
///
/// The guard does not deref to the connection. Otherwise a shared reference to the connection could exist while a query
/// through a shared reference to the guard changes it.
pub struct BoundConnection<'s, B: Bind> {
    claim: Mutex<Claim<'s, B::Connection>>,
}

impl<'s, B: Bind> BoundConnection<'s, B> {
    pub(super) fn new(claim: Claim<'s, B::Connection>) -> Self {
        Self {
            claim: Mutex::new(claim),
        }
    }

    /// Returns the connection itself, for APIs that take one: the traits of diesel-async, `transaction`, `COPY`.
    ///
    /// A nested `transaction()` on it is a savepoint. A `COMMIT` or `ROLLBACK` of your own ends the transaction of the
    /// unit. In that case, `commit_all` fails with
    /// [`CommitError::TransactionEnded`](crate::CommitError::TransactionEnded). The bind counts as a writer, unless it
    /// is read-only.
    ///
    /// Leave the connection in its place. One that was exchanged for another (`mem::swap`) commits nothing, and does
    /// not return to a pool.
    ///
    /// # Errors
    ///
    /// [`Error::AbortOnly`] if a statement on it was dropped before it completed.
    ///
    /// # Cancel safety
    ///
    /// On MySQL, a statement that is dropped before it completes makes the unit abort-only, because the next statement
    /// would read its reply. On PostgreSQL and SQLite, such a statement runs to its end, in order, and the unit keeps
    /// its effects. A `transaction` that is dropped before it ends makes the unit abort-only on all of them.
    pub fn raw(&mut self) -> Result<&mut B::Connection, Error> {
        self.claim.get_mut().lend()
    }
}

impl Session {
    /// Returns the connection of a bind, inside the transaction of the unit, for features that this library does not
    /// cover.
    ///
    /// # Errors
    ///
    /// Those of a query that may write: see [`Error`].
    ///
    /// # Cancel safety
    ///
    /// See [`RunQueryDsl`](crate::RunQueryDsl).
    pub async fn connection<B: Bind>(&self, _: B) -> Result<BoundConnection<'_, B>, Error> {
        let access = self.core().widest_access::<B>()?;
        let mut claim = self.claim_bind::<B>(access).await?;
        claim.number_connection().await?;
        claim.hold();
        Ok(BoundConnection::new(claim))
    }
}

impl<B: Bind> sealed::Sealed for BoundConnection<'_, B> {}

impl<B: Bind, Q: QueryId> Target<Q> for BoundConnection<'_, B> {
    type Bind = B;

    async fn claim(&self) -> Result<impl AsClaim<B::Connection>, Error> {
        // Never waits: the task that would wait may hold the statement itself, most often by a stream.
        let locked = self.claim.try_lock();
        let mut claim = locked.map_err(|_| Error::BindBusy { bind: B::KEY })?;
        claim.verify().await?;
        claim.describe::<Q>();
        Ok(claim)
    }
}

impl<B: Bind> fmt::Debug for BoundConnection<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundConnection")
            .field("bind", &B::KEY)
            .finish_non_exhaustive()
    }
}
