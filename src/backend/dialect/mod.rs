//! The port to a connection: the operations that a unit of work needs, which each adapter implements.
//!
//! There is a trait for each concern, and an adapter implements it in the file that has the code. [`Dialect`] contains
//! all of them, and the operations that concern the connection itself.

// Files, each of which imports only from those before it: `unit`, `outer`, `recovery`, `sandbox`.

mod outer;
mod recovery;
mod sandbox;
mod unit;

use std::future::Future;

use diesel::QueryResult;
use futures_util::future::BoxFuture;

pub(crate) use self::outer::OuterDialect;
pub(crate) use self::recovery::RecoveryDialect;
pub(crate) use self::sandbox::SandboxDialect;
pub(crate) use self::unit::UnitDialect;
use crate::backend::{Backend, Clock, Server, Staleness, Terms, stale};
use crate::tls::TlsSetting;

/// A connection that a bind may have: `AsyncPgConnection`, `AsyncMysqlConnection` or `AsyncSqliteConnection`, each
/// with the feature of its backend.
///
/// This trait is sealed.
pub trait Connection: Dialect {}

impl<C: Dialect> Connection for C {}

/// The operations on a connection of one kind of server. Sealed: [`Connection`] is the name for users.
///
/// Every future may be dropped. The connection is then unfit for anything but [`cancel`](Dialect::cancel) and
/// [`retire`](Dialect::retire).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a connection that a bind can have",
    label = "not a connection of a bind",
    note = "use `AsyncPgConnection`, `AsyncMysqlConnection` or `diesel_binds::AsyncSqliteConnection`, and turn on its backend in the features of diesel-binds: `postgres`, `mysql`, `sqlite` or `sqlite-bundled`"
)]
pub trait Dialect: UnitDialect + OuterDialect + RecoveryDialect + SandboxDialect {
    /// The kind of server.
    const BACKEND: Backend;

    /// The SQL expressions for the clock of the server.
    const CLOCK: Clock;

    /// `true` if the driver notices a closed connection while no statement runs.
    const NOTICES_CLOSE: bool;

    /// Texts of errors about the connection and not about the statement. A star stands for any text, and a number sign for a
    /// number.
    const STALE: &'static [&'static str];

    /// `true` if the database is a file. No server and no proxy stand between it and the connection, and its
    /// durability is a setting of the connection.
    const IS_FILE: bool = false;

    /// `true` if a transaction can be prepared on some server of this kind.
    const CAN_PREPARE: bool = true;

    /// `true` if a prepare waits for a standby or replica wherever a commit does.
    const PREPARE_IS_REPLICATED: bool = true;

    /// The rank of a bind among those that could hold the decision, unless its options set one. The highest is chosen.
    const HOLDER_RANK: i8 = 0;

    /// `true` if a prepared statement finds its tables in the database that was the current one when it was prepared.
    const STATEMENTS_KEEP_THEIR_DATABASE: bool = false;

    /// `true` if a pooler with its own names for connections may be in front of the server.
    const MAY_BE_POOLED: bool = false;

    /// `true` if the marker cannot be read in an aborted transaction.
    const ABORT_HIDES_MARKER: bool = false;

    /// `true` if some settings have no effect within a transaction, without an error.
    const IGNORES_SETTINGS: bool = false;

    /// `true` if a change of the schema commits the open transaction.
    const DDL_COMMITS: bool = false;

    /// Returns whether no statement of a message can still run once its error was read, even if the session has ended.
    /// Behind a proxy this is not certain, because the proxy may have lost the server.
    fn errors_are_final(_: &Server) -> bool {
        false
    }

    /// Returns whether an error of a statement says that the server accepts no writes: another one may be the primary now.
    fn is_demotion(_: &diesel::result::Error) -> bool {
        false
    }

    /// Returns whether an error of a prepare says that the server prepares nothing any more: a setting was changed since
    /// it was inspected.
    fn prepares_no_more(_: &diesel::result::Error) -> bool {
        false
    }

    /// Judges by an error of a statement whether its connection can be used again.
    fn staleness(error: &diesel::result::Error, terms: &Terms) -> Staleness {
        stale::staleness(error, Self::STALE, &terms.server.session)
    }

    /// Reads the properties of the server. Call it outside of a transaction.
    fn inspect(&mut self) -> impl Future<Output = QueryResult<Server>> + Send;

    /// Returns remarks for an operator. Call it outside of a transaction. Takes no lock, and waits for none.
    fn remarks(&mut self) -> impl Future<Output = QueryResult<Vec<String>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Reads the rest of the reply to the previous statement. Sends no statement, which would replace the answers about
    /// that of the application. An error is that of the previous statement.
    fn drain(&mut self) -> impl Future<Output = QueryResult<()>> + Send {
        async { Ok(()) }
    }

    /// Returns a number that no other connection has, if the transaction of a unit has no marker of its own. Call it
    /// before the application gets the connection, which it may replace by another one.
    fn assign_connection_number(
        &mut self,
    ) -> impl Future<Output = QueryResult<Option<i64>>> + Send {
        async { Ok(None) }
    }

    /// Returns the number that [`assign_connection_number`](Self::assign_connection_number) gave the connection, if it
    /// did.
    fn connection_number(&mut self) -> impl Future<Output = QueryResult<Option<i64>>> + Send {
        async { Ok(None) }
    }

    /// Lets the driver process the messages that have arrived, if it reads while no statement runs. Waits for no
    /// message, and only lets other tasks run.
    fn read_pending(&mut self) -> impl Future<Output = ()> + Send {
        async {}
    }

    /// Returns why the connection is closed, if the driver has noticed that it is. Messages written afterwards reach no
    /// server. Sends nothing.
    fn closed(&mut self) -> impl Future<Output = Option<diesel::result::Error>> + Send {
        async { None }
    }

    /// Makes sure that the connection still replies, in any state of its transaction.
    fn ping(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<()>> + Send;

    /// Asks the server whether the error of the statement that just failed here is a conflict, if the error itself may
    /// hide that ([`is_conflict`](crate::commit::is_conflict)).
    fn met_conflict(&mut self, _: &diesel::result::Error) -> impl Future<Output = bool> + Send {
        async { false }
    }

    /// Removes session state that statements of the application may have left on the connection. Call it outside of a
    /// transaction.
    ///
    /// Returns whether the connection is like a fresh one of its pool. If not, it must be closed.
    fn clean(&mut self, terms: &Terms) -> impl Future<Output = QueryResult<bool>> + Send;

    /// Makes every pool throw the connection away.
    fn retire(&mut self) -> impl Future<Output = ()> + Send;

    /// Returns whether the server sees the connection as encrypted. `None` if that means nothing here.
    fn is_encrypted(&mut self) -> impl Future<Output = QueryResult<Option<bool>>> + Send {
        async { Ok(None) }
    }

    /// Returns a way to stop the running statement without this connection, over a connection that is encrypted by these
    /// settings. They are `None` if the application opened this one.
    fn cancel(&mut self, tls: Option<&TlsSetting>) -> Option<BoxFuture<'static, ()>>;
}

/// A connection that runs the insert `Q` of several rows by itself, because diesel-async does not.
pub trait InsertRows<Q>: Dialect {
    /// Inserts all of the rows, or none.
    fn insert_rows(&mut self, insert: Q) -> impl Future<Output = QueryResult<usize>> + Send;
}
