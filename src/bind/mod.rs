//! Binds, and the types that have one: the bind of a query determines its database.
//!
//! `query` finds the bind of each of Diesel's queries, and requires that every table in it has that bind. `within`
//! checks expressions by Diesel's own rules for their tables, `rows` checks the rows of an insert.

// Files, each of which imports only from those before it: `within`, `rows`, `query`.

mod query;
mod rows;
mod within;

pub(crate) use self::query::{Typed, has_boxed_subquery, is_of_diesel, may_have_text};

use crate::backend::Connection;

/// A database of the application, named by a marker type.
///
/// Derive the trait:
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
/// The type is `pub`, because Diesel's table types are, and they name it.
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

/// A type that belongs to one bind: a model, a table, and therefore every query over them.
///
/// `#[derive(Bound)]`, [`bind_tables!`](crate::bind_tables) and [`bind_schema!`](crate::bind_schema) implement it for
/// models and tables. Diesel's queries have the bind of their tables: a query over tables of two binds has no bind and
/// so does not compile.
///
/// `Form` is found by the compiler. Your own implementations have the default.
#[diagnostic::on_unimplemented(
    message = "no bind is known for `{Self}`",
    label = "its database is not known",
    note = "tag a table in the crate that declares it: with `bind_tables!(Bind => table)`, `bind_schema!`, or `#[bind(Bind)]` on one of its models there",
    note = "a query without a table (`sql_query`, a set operation) names its bind: `.load(&session.on(Bind))`"
)]
pub trait Bound<Form = Typed> {
    /// The bind.
    type Bind: Bind;

    /// Returns the effect on the database, as far as the type shows it.
    #[doc(hidden)]
    fn access() -> Access {
        Access::Write
    }

    /// Returns whether the rows come from a query whose bind cannot be found from its type.
    #[doc(hidden)]
    fn reads_unknown() -> bool {
        false
    }
}

/// The effect of a statement on the database, as far as it is known before the statement runs.
///
/// This is a first guess, which decides which binds must prepare. A server that can report writes is asked before the
/// commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The statement reads: no lock, no change.
    Read,
    /// The statement may write or lock.
    Write,
}
