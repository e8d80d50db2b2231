//! Scopes: a session for one task, available everywhere in it without being passed on.
//!
//! A scope is a convenience over an explicit [`Session`]. `handle` shares one session between the parts of a scope and
//! keeps its ends exclusive, `target` runs queries on it.

// Files, each of which imports only from those before it: `handle`, `target`.

mod handle;
mod target;

use crate::error::Error;
use crate::registry::Binds;
use crate::session::{SessionOptions, Units};

#[cfg(feature = "tower")]
pub(crate) use self::handle::Open;
pub use self::handle::{Scope, ScopeGuard};
pub use self::target::ScopeOn;

tokio::task_local! {
    /// The innermost scope of the task.
    static CURRENT: Scope;
}

/// Returns the scope of this task: the innermost one, if scopes are nested.
///
/// # Errors
///
/// [`Error::NoScope`] outside of [`Binds::scope`]. A task started by `tokio::spawn` is outside of the scope, even if
/// the code that starts it is inside. [`Scope::spawn`] starts a task within the scope.
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
    /// Runs a future with a session of its own, which [`current`] returns everywhere in it.
    ///
    /// Work that is uncommitted at the end of the future is rolled back: nothing is committed automatically. No
    /// connection is taken for a future that runs no query. A nested scope has a session and a unit of its own, which
    /// commits and rolls back independently of the outer one.
    ///
    /// `tokio::spawn` does not pass the session on, but [`Scope::spawn`] does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future rolls back in the background. A `commit_all` that was polled continues.
    pub async fn scope<F: Future>(&self, future: F) -> F::Output {
        self.with(SessionOptions::default()).scope(future).await
    }
}

impl Units<'_> {
    /// Runs a future in a [scope](Binds::scope) whose session has the options.
    ///
    /// # Cancel safety
    ///
    /// See [`Binds::scope`].
    pub async fn scope<F: Future>(self, future: F) -> F::Output {
        let open = handle::Open::new(self);
        let output = open.scope().within(future).await;
        open.end().await;
        output
    }
}
