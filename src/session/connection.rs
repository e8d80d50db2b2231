//! One connection of a session, lent to the application in the middle of the unit.

use std::fmt;

use diesel::query_builder::QueryId;
use tokio::sync::Mutex;

use crate::bind::Bind;
use crate::error::Error;
use crate::session::Session;
use crate::session::statement::{Open, Statement};
use crate::session::target::{Target, sealed};

/// The connection of one bind, inside the transaction of the unit. See [`Session::connection`](crate::Session::connection).
///
/// It is a target of [`RunQueryDsl`](crate::RunQueryDsl) by itself, for queries of any kind, and
/// [`raw`](Self::raw) gives what Diesel's own functions take. While it lives, the session runs no other query on the
/// bind ([`Error::BindBusy`]).
///
/// It does not deref to the connection: a shared reference to that and a query through a shared reference to this
/// exclude each other.
pub struct BoundConnection<'s, B: Bind> {
    statement: Mutex<Statement<'s, B::Connection>>,
}

impl<'s, B: Bind> BoundConnection<'s, B> {
    pub(super) fn new(statement: Statement<'s, B::Connection>) -> Self {
        Self {
            statement: Mutex::new(statement),
        }
    }

    /// The connection itself, for what takes a connection: Diesel-async's own traits, `transaction`, `COPY`.
    ///
    /// A nested `transaction()` on it is a savepoint. A `COMMIT` or `ROLLBACK` of your own ends the transaction of the
    /// unit behind its back: then `commit_all` fails with
    /// [`CommitError::TransactionEnded`](crate::CommitError::TransactionEnded). What is done here counts as written.
    ///
    /// Leave it in its place. A connection that was exchanged for another (`mem::swap`) commits nothing, and goes back into
    /// no pool.
    ///
    /// # Errors
    ///
    /// [`Error::AbortOnly`] if a statement on it was dropped before it completed.
    ///
    /// # Cancel safety
    ///
    /// A statement that you drop half-way is noticed on MySQL, where it would falsify the next reply, and the unit is
    /// then abort-only. On PostgreSQL and SQLite it runs to its end, in order, and the unit goes on with whatever it
    /// did; a `transaction` that is dropped half-way makes the unit abort-only on all of them.
    pub fn raw(&mut self) -> Result<&mut B::Connection, Error> {
        self.statement.get_mut().lend()
    }
}

impl Session {
    /// The connection of a bind, inside the transaction of the unit, for what this library does not do.
    ///
    /// # Errors
    ///
    /// Those of a query that may write: see [`Error`].
    ///
    /// # Cancel safety
    ///
    /// As a query.
    pub async fn connection<B: Bind>(&self, _: B) -> Result<BoundConnection<'_, B>, Error> {
        let access = self.core().widest_access::<B>()?;
        let mut statement = self.statement::<B>(access).await?;
        statement.mark().await?;
        Ok(BoundConnection::new(statement.held()))
    }
}

impl<B: Bind> sealed::Sealed for BoundConnection<'_, B> {}

impl<B: Bind, Q: QueryId> Target<Q> for BoundConnection<'_, B> {
    type Bind = B;

    async fn statement(&self) -> Result<impl Open<B::Connection>, Error> {
        // Whoever has it may be the one who would wait: a stream, most often.
        let locked = self.statement.try_lock();
        let mut statement = locked.map_err(|_| Error::BindBusy { bind: B::KEY })?;
        statement.verify().await?;
        statement.describe::<Q>();
        Ok(statement)
    }

    async fn held_statement(&self) -> Result<impl Open<B::Connection>, Error> {
        Target::<Q>::statement(self).await
    }
}

impl<B: Bind> fmt::Debug for BoundConnection<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundConnection")
            .field("bind", &B::KEY)
            .finish_non_exhaustive()
    }
}
