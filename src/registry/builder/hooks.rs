//! What the application asked to run at the begin of each transaction of a bind.

use diesel::QueryResult;
use futures_util::future::BoxFuture;

use crate::bind::Bind;
use crate::registry::BindsBuilder;
use crate::registry::builder::pending::Who;
use crate::registry::entry::AfterBegin;

impl BindsBuilder {
    /// Runs `hook` on the connection of a bind right after each transaction of a unit has begun there, within that
    /// transaction and before everything else: for `SET LOCAL search_path`, `SET LOCAL ROLE` and the like. Where several
    /// are registered, they run in that order; binds that share a connection share their hooks.
    ///
    /// It runs in the task of the query that begins, and so finds the task-local values of that. If it fails, that query
    /// fails with [`Error::AfterBegin`](crate::Error::AfterBegin), and the transaction is rolled back. It must not end the
    /// transaction: the next statement finds that out, and the unit can then only be rolled back. Before the first
    /// statement the server is asked about that, which costs a round trip.
    ///
    /// What a hook did before it failed, panicked or was dropped ends with its unit. If it has ended the transaction, so
    /// that this is not certain, the unit ends with [`TransactionEnded`](crate::CommitError::TransactionEnded).
    ///
    /// It uses the connection that it is given. A query of a session on the same bind would wait for the hook, or run it
    /// again: it fails with [`Error::InsideHook`](crate::Error::InsideHook). The deadline of the unit bounds the hook.
    ///
    /// What it sets with `LOCAL` on PostgreSQL ends with the transaction. MariaDB and SQLite keep no
    /// setting for one transaction alone: what it sets there is cleaned from the connection after the unit, unless the bind
    /// says [`keep_session_state`](crate::BindOptions::keep_session_state).
    ///
    /// What it writes is part of the unit, and found as what a function in a `SELECT` wrote: do not write where the bind
    /// is told to [`trust_reads`](crate::BindOptions::trust_reads).
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
        self.after_begin.push((Who::of::<B>(), Box::new(hook)));
        self
    }
}
