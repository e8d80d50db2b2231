//! What is asked of a transaction of a unit before it ends: whether it is still there, whether it wrote, whose database
//! it is in.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Bool};
use diesel::{IntoSql as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::backend::mysql::is_mariadb;
use crate::backend::{Terms, internals, sql};
use crate::commit::{Asked, Fault};
use crate::gid::{DatabaseId, UnitId};

/// What this session has written so far: each row counts, whoever asked for it.
pub(super) const WRITES: &str = "(SELECT SUM(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS \
                      WHERE VARIABLE_NAME IN ('HANDLER_WRITE', 'HANDLER_UPDATE', 'HANDLER_DELETE'))";

/// Where a connection stands.
#[derive(QueryableByName)]
struct Standing {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    open: i64,
}

/// Asks whether this session wrote anything since the begin of its unit.
///
/// A query of its own type, so that Diesel keeps it prepared: it is then one round trip, as the prepares are that it
/// goes out with.
#[derive(QueryId)]
struct Wrote;

impl Query for Wrote {
    type SqlType = Bool;
}

impl QueryFragment<Mysql> for Wrote {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql("SELECT ");
        out.push_sql(WRITES);
        out.push_sql(" > @diesel_binds_writes");
        Ok(())
    }
}

/// Whether the transaction is still that of the unit.
///
/// After a future that was dropped half-way, this connection reads each reply one statement late. A number that
/// nobody else knows must come back.
pub(super) async fn verify(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> Result<(), Fault> {
    let sent = i64::from(rand_like(terms.unit));
    // MySQL has no such variable; its transactions are plain ones, without autocommit.
    let open = if is_mariadb(&terms.server.version) {
        "@@in_transaction"
    } else {
        "1"
    };
    let standing: Standing = sql_query(format!(
        "SELECT CAST({sent} AS SIGNED) AS number, CAST({open} AS SIGNED) AS open"
    ))
    .get_result(connection)
    .await
    .map_err(|_| Fault::Incomplete)?;
    if standing.number != sent {
        return Err(Fault::Incomplete);
    }
    // Not before: a nested transaction that was dropped leaves its depth as well as its unread reply, and the
    // roll-back of the unit needs a connection that answers.
    internals::verify_depth(internals::status(connection), &terms.begun)?;
    if standing.open == 0 {
        return Err(Fault::Ended(diesel::result::Error::NotInTransaction));
    }
    Ok(())
}

/// Whether the connection replies, and to what it was asked.
pub(super) async fn answer(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> QueryResult<()> {
    let sent = i64::from(rand_like(terms.unit));
    let received: i64 = diesel::select(sent.into_sql::<BigInt>())
        .get_result(connection)
        .await?;
    if received == sent {
        Ok(())
    } else {
        Err(diesel::result::Error::BrokenTransactionManager)
    }
}

/// Whether the transaction wrote, where that is counted.
pub(super) async fn ask(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> Result<Asked, Fault> {
    let wrote = if counts_writes(terms) {
        Wrote.get_result(connection).await.map_err(Fault::Refused)?
    } else {
        true
    };
    Ok(Asked {
        wrote,
        serializable: false,
    })
}

/// Whose database it is, if it may join a unit of several writers.
pub(super) async fn identify(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> Result<DatabaseId, Fault> {
    terms.refuse_not_durable()?;
    let schema = &terms.server.schema;
    let query = format!(
        "{} AND NOT EXISTS (SELECT 1 FROM {schema}diesel_binds_branch WHERE 1 = 0)",
        sql::meta(schema)
    );
    sql::database_id(sql_query(query).load(connection).await)
}

pub(super) fn counts_writes(terms: &Terms) -> bool {
    terms.verify_reads && !terms.read_only && is_mariadb(&terms.server.version)
}

/// A number that no other reply on the connection carries by chance.
fn rand_like(unit: UnitId) -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(unit) as u32
}
