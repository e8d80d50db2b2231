//! Scopes: a session for one task, reachable in it without being handed on.
//!
//! Sugar over an explicit [`Session`]: `handle` shares one session between the parts of a scope and keeps its ends
//! exclusive, `target` brings queries to it.

// Files, each of which imports only from those before it: `handle`, `target`.

mod handle;
mod target;

use crate::error::Error;
use crate::registry::Binds;
use crate::session::SessionOptions;

#[cfg(feature = "tower")]
pub(crate) use self::handle::Open;
pub use self::handle::{Scope, ScopeGuard};
pub use self::target::ScopeOn;

tokio::task_local! {
    /// The innermost scope that the task is in.
    static CURRENT: Scope;
}

/// The scope that this task is in: the innermost one, where scopes are nested.
///
/// # Errors
///
/// [`Error::NoScope`] outside of [`Binds::scope`]. A task that was started by `tokio::spawn` is outside, also where its
/// parent is inside: [`Scope::spawn`] starts one that is not.
///
/// # Example
///
/// ```
/// # use diesel::prelude::*;
/// # use diesel_binds::{AsyncSqliteConnection, Bind, Error, RunQueryDsl, bind_tables, current};
/// # #[derive(Bind)]
/// # #[bind(key = "ledger", connection = AsyncSqliteConnection)]
/// # pub struct Ledger;
/// # diesel::table! { entries (id) { id -> Integer, amount -> BigInt, } }
/// # bind_tables!(Ledger => entries);
/// async fn note(amount: i64) -> Result<(), Error> {
///     diesel::insert_into(entries::table)
///         .values(entries::amount.eq(amount))
///         .execute(&current()?)
///         .await?;
///     Ok(())
/// }
/// ```
pub fn current() -> Result<Scope, Error> {
    CURRENT.try_with(Scope::clone).map_err(|_| Error::NoScope)
}

impl Binds {
    /// Runs a future with a session of its own, which [`current`] reaches from everywhere in it.
    ///
    /// What the future has not committed when it is done is rolled back: nothing is committed by itself. No connection
    /// is taken for a future that runs no query. A scope inside of a scope has a session of its own, and so a unit of
    /// its own: it commits and rolls back apart from the outer one.
    ///
    /// The session is not inherited by `tokio::spawn`, but by [`Scope::spawn`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back in the background. A `commit_all` that was polled goes on.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        self.scope_with(SessionOptions::default(), future).await
    }

    /// The same, with options of the session.
    ///
    /// # Cancel safety
    ///
    /// As [`scope`](Self::scope).
    pub async fn scope_with<F: Future>(&self, options: SessionOptions, future: F) -> F::Output {
        let open = handle::Open::new(self, options);
        let output = open.scope().within(future).await;
        open.end().await;
        output
    }
}
