//! Hooks of the application at the begin of each transaction of a bind.

use diesel::QueryResult;
use futures_util::future::BoxFuture;

use crate::bind::Bind;
use crate::registry::BindsBuilder;
use crate::registry::builder::pending::BindId;
use crate::registry::entry::AfterBegin;

impl BindsBuilder {
    /// Runs `hook` on the connection of a bind right after each transaction of a unit has begun there. It runs within
    /// that transaction and before everything else, for `SET LOCAL search_path`, `SET LOCAL ROLE` and the like. Several
    /// hooks run in the order of their registration. Binds that share a connection share their hooks.
    ///
    /// The hook runs in the task of the query that begins, and so has its task-local values. If it fails, that query
    /// fails with [`Error::AfterBegin`](crate::Error::AfterBegin), and the transaction is rolled back. The hook must
    /// not end the transaction: the unit can then only be rolled back. The library checks that before the first
    /// statement, which costs a round trip.
    ///
    /// If a hook failed, panicked or was dropped, its changes are rolled back with its unit. If it may have ended the
    /// transaction, the unit ends with [`TransactionEnded`](crate::CommitError::TransactionEnded).
    ///
    /// The hook must use the connection that it is given. A query of a session on the same bind would wait for the
    /// hook, or run it again: it fails with [`Error::InsideHook`](crate::Error::InsideHook). The deadline of the unit
    /// bounds the hook.
    ///
    /// On PostgreSQL, `LOCAL` settings end with the transaction. MariaDB and SQLite have no settings that are local to
    /// a transaction. There, settings of the hook are removed from the connection after the unit, unless the bind has
    /// [`keep_session_state`](crate::BindOptions::keep_session_state).
    ///
    /// Writes of the hook are part of the unit, and are detected in the same way as those of a function in a `SELECT`.
    /// Do not write in a hook if the bind has [`trust_reads`](crate::BindOptions::trust_reads).
    ///
    /// # Example
    ///
    /// ```
    /// # #[cfg(all(feature = "postgres", feature = "deadpool"))]
    /// # mod example {
    /// use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
    /// use diesel_binds::{Bind, Binds, BuildError, Source};
    ///
    /// #[derive(Bind)]
    /// #[bind(key = "accounts", connection = AsyncPgConnection)]
    /// pub struct Accounts;
    ///
    /// fn binds() -> Result<Binds, BuildError> {
    ///     Binds::builder()
    ///         .bind(Accounts, Source::env())
    ///         .after_begin(Accounts, |connection| {
    ///             Box::pin(connection.batch_execute("SET LOCAL search_path = shop"))
    ///         })
    ///         .build()
    /// }
    /// # }
    /// ```
    pub fn after_begin<B, F>(mut self, _: B, hook: F) -> Self
    where
        B: Bind,
        F: for<'c> Fn(&'c mut B::Connection) -> BoxFuture<'c, QueryResult<()>>
            + Send
            + Sync
            + 'static,
    {
        let hook: AfterBegin<B::Connection> = Box::new(hook);
        self.after_begin.push((BindId::of::<B>(), Box::new(hook)));
        self
    }
}
