//! Binds, and what carries one: the types that tell a query its database.
//!
//! `query` finds the bind of each of Diesel's queries, and holds every table in it to that bind: `within` by the rules by
//! which Diesel itself finds the tables of an expression, `rows` for the rows of an insert.

// Files, each of which imports only from those before it: `within`, `rows`, `query`.

mod query;
mod rows;
mod within;

pub(crate) use self::query::{Typed, has_boxed_subquery, may_have_text};

use crate::backend::Connection;

/// A database of the application, named by a marker type.
///
/// Derive it:
///
/// ```
/// # #[cfg(feature = "sqlite")]
/// # mod example {
/// use diesel_binds::{AsyncSqliteConnection, Bind};
///
/// #[derive(Bind)]
/// #[bind(key = "accounts", connection = AsyncSqliteConnection)]
/// pub struct Accounts;
/// # }
/// ```
///
/// It is `pub`, because the table types of Diesel are, and they will name it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a bind",
    label = "not a bind",
    note = "derive it on a unit struct: `#[derive(Bind)] #[bind(key = \"…\", connection = AsyncPgConnection)]`"
)]
pub trait Bind: Send + Sync + 'static {
    /// The name of the bind in configuration, errors and global transaction ids: `[a-z0-9_-]`, at most 40 bytes.
    const KEY: &'static str;

    /// The connection type of its database.
    type Connection: Connection;
}

/// Something that belongs to one bind: a model, a table, and so every query over them.
///
/// `#[derive(Bound)]`, [`bind_tables!`](crate::bind_tables) and [`bind_schema!`](crate::bind_schema) implement it for
/// models and tables. For Diesel's queries it follows from their tables: a query over tables of two binds has no bind
/// and so does not compile.
///
/// `Form` is for the compiler to find. Whatever you implement this for has the default.
#[diagnostic::on_unimplemented(
    message = "no bind is known for `{Self}`",
    label = "its database is not known",
    note = "tag a table in the crate that declares it: with `bind_tables!(Bind => table)`, `bind_schema!`, or `#[bind(Bind)]` on one of its models there",
    note = "what has no table of its own (`sql_query`, a set operation) names its bind: `.load(&session.on(Bind))`"
)]
pub trait Bound<Form = Typed> {
    /// The bind.
    type Bind: Bind;

    /// What running this does to the database, as far as its type tells.
    #[doc(hidden)]
    fn access() -> Access {
        Access::Write
    }

    /// Whether it takes rows from a query whose bind its type does not tell.
    #[doc(hidden)]
    fn reads_unknown() -> bool {
        false
    }
}

/// What a statement does to the database, as far as we know before it runs.
///
/// It is a first guess that decides who must prepare. A server that can tell is asked before the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It reads: no lock, no change.
    Read,
    /// It may write or lock.
    Write,
}
