//! Queries on the transaction of a unit before it ends: whether it is still open, and whether it wrote.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Bool};
use diesel::{IntoSql as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::mysql::Flag;
use crate::backend::mysql::drain::drain;
use crate::backend::mysql::flavour::Flavour;
use crate::backend::mysql::writes::writes;
use crate::backend::{Terms, TransactionState, internals};
use crate::commit::Fault;
use crate::gid::UnitId;

/// The state of a connection.
#[derive(QueryableByName)]
struct SessionState {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    open: i64,
    #[diesel(sql_type = Bool)]
    marked: bool,
}

/// A query that returns whether this session wrote anything since the begin of its unit.
///
/// A query with a type of its own stays prepared in Diesel. So this one takes one round trip, like the prepares that
/// are sent beside it.
#[derive(QueryId)]
pub(super) struct Wrote {
    /// The expression that counts writes. Every query of a connection has the same one, because it has one server.
    writes: &'static str,
}

impl Wrote {
    pub(super) fn of(terms: &Terms) -> Self {
        Self {
            writes: writes(terms),
        }
    }
}

impl Query for Wrote {
    type SqlType = Bool;
}

impl QueryFragment<Mysql> for Wrote {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        // A server that does not count has no numbers to compare.
        out.push_sql("SELECT COALESCE(");
        out.push_sql(self.writes);
        out.push_sql(" > @diesel_binds_writes, TRUE)");
        Ok(())
    }
}

/// Checks that the transaction is still that of the unit.
///
/// If a future was dropped while it ran, this connection reads each reply one statement late. A unique number must come
/// back.
pub(super) async fn verify(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> Result<TransactionState, Fault> {
    // The driver reports the error of a statement on the raw connection late.
    drain(connection).await.map_err(|error| match error {
        Error::DatabaseError(kind, _) if kind != DatabaseErrorKind::ClosedConnection => {
            Fault::Refused(error)
        }
        _ => Fault::Incomplete,
    })?;
    let sent = i64::from(check_number(terms.unit));
    let open = match Flavour::of(terms) {
        Flavour::MariaDb => "@@in_transaction",
        Flavour::MySql => "1",
    };
    let question = format!(
        "SELECT CAST({sent} AS SIGNED) AS number, CAST({open} AS SIGNED) AS open, \
         COALESCE(@diesel_binds_unit = '{}', FALSE) AS marked",
        terms.marker()
    );
    let found: QueryResult<SessionState> = sql_query(question).get_result(connection).await;
    let state = match found {
        Ok(state) => state,
        // The server has rolled the branch back, and says so to every statement in it.
        Err(error) if mentions_rollback(&error) => return Ok(TransactionState::Aborted),
        // The error belongs to an earlier statement whose replies were not all read, or the connection is lost.
        Err(error) => {
            return Err(match ping(connection, terms).await {
                Ok(()) => Fault::Refused(error),
                Err(_) => Fault::Lost(error),
            });
        }
    };
    if state.number != sent {
        return Err(Fault::Incomplete);
    }
    // Checked only now: a nested transaction that was dropped leaves its depth and an unread reply. The roll-back of
    // the unit needs a connection that answers.
    internals::verify_depth(internals::status(connection), &terms.prior)?;
    let found = match Flavour::of(terms) {
        Flavour::MariaDb if state.open == 0 => None,
        Flavour::MariaDb => Some(TransactionState::Open),
        Flavour::MySql => transaction(connection).await?,
    };
    if found == Some(TransactionState::Aborted) {
        return Ok(TransactionState::Aborted);
    }
    if found.is_none() || !state.marked {
        return Err(Fault::TransactionEnded(
            diesel::result::Error::NotInTransaction,
        ));
    }
    Ok(TransactionState::Open)
}

/// A statement that has a table, and whose result is not read.
const READ_NOTHING: &str = "DO (SELECT 1 FROM (SELECT 1) AS nothing)";

/// Returns the state of the transaction on MySQL, which has no variable for it. `None` if no transaction is open.
///
/// Within a transaction, the server refuses to change the access mode. Otherwise this sets that of the next
/// transaction, on a connection that is then not used again. A branch that the server has rolled back is no
/// transaction, and refuses every statement that has a table.
async fn transaction(
    connection: &mut AsyncMysqlConnection,
) -> Result<Option<TransactionState>, Fault> {
    match connection.batch_execute("SET TRANSACTION READ WRITE").await {
        Ok(()) => match connection.batch_execute(READ_NOTHING).await {
            Err(error) if mentions_rollback(&error) => Ok(Some(TransactionState::Aborted)),
            Ok(()) => Ok(None),
            Err(error) => Err(Fault::Refused(error)),
        },
        Err(Error::DatabaseError(kind, _)) if kind != DatabaseErrorKind::ClosedConnection => {
            Ok(Some(TransactionState::Open))
        }
        Err(error) => Err(Fault::Lost(error)),
    }
}

/// Returns whether a transaction is certainly open. MySQL has no variable for it.
pub(super) async fn is_open(connection: &mut AsyncMysqlConnection) -> bool {
    let found: QueryResult<Flag> = sql_query("SELECT @@in_transaction = 1 AS flag")
        .get_result(connection)
        .await;
    found.is_ok_and(|found| found.flag)
}

/// Returns whether it is certain that the session is the one that began the unit.
pub(super) async fn is_same_session(connection: &mut AsyncMysqlConnection, terms: &Terms) -> bool {
    let question = format!(
        "SELECT COALESCE(@diesel_binds_unit = '{}', FALSE) AS flag",
        terms.marker()
    );
    let found: QueryResult<Flag> = sql_query(question).get_result(connection).await;
    found.is_ok_and(|found| found.flag)
}

/// Returns whether the server reports that it has rolled the branch back: `XA_RBROLLBACK`, `XA_RBDEADLOCK`,
/// `XA_RBTIMEOUT`, words that begin the message in every language.
pub(super) fn mentions_rollback(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().contains("XA_RB"))
}

/// Makes sure that the connection replies, and to the right statement.
pub(super) async fn ping(connection: &mut AsyncMysqlConnection, terms: &Terms) -> QueryResult<()> {
    let sent = i64::from(check_number(terms.unit));
    let received: i64 = diesel::select(sent.into_sql::<BigInt>())
        .get_result(connection)
        .await?;
    if received == sent {
        Ok(())
    } else {
        Err(diesel::result::Error::BrokenTransactionManager)
    }
}

/// Returns a number that no other reply on the connection contains by chance.
fn check_number(unit: UnitId) -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(unit) as u32
}
