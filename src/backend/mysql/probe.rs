//! What is asked of a transaction of a unit before it ends: whether it is still there, whether it wrote, whose database
//! it is in.

use diesel::mysql::Mysql;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Bool};
use diesel::{IntoSql as _, QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::mysql::drain::drain;
use crate::backend::mysql::writes::{WRITES, counts_writes};
use crate::backend::mysql::{Flag, is_mariadb, tables};
use crate::backend::tables::{for_unit, identified};
use crate::backend::{Standing, Terms, internals, is_of_our_tables, sql};
use crate::commit::{Asked, Fault, Identified};
use crate::gid::UnitId;

/// Where a connection stands.
#[derive(QueryableByName)]
struct Place {
    #[diesel(sql_type = BigInt)]
    number: i64,
    #[diesel(sql_type = BigInt)]
    open: i64,
    #[diesel(sql_type = Bool)]
    marked: bool,
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
) -> Result<Standing, Fault> {
    // What a statement of the application on the raw connection failed of, the driver tells late.
    drain(connection).await.map_err(|error| match error {
        Error::DatabaseError(kind, _) if kind != DatabaseErrorKind::ClosedConnection => {
            Fault::Refused(error)
        }
        _ => Fault::Incomplete,
    })?;
    let sent = i64::from(rand_like(terms.unit));
    // MySQL has no such variable; its transactions are plain ones, without autocommit.
    let open = if is_mariadb(&terms.server.version) {
        "@@in_transaction"
    } else {
        "1"
    };
    let question = format!(
        "SELECT CAST({sent} AS SIGNED) AS number, CAST({open} AS SIGNED) AS open, \
         COALESCE(@diesel_binds_unit = '{}', FALSE) AS marked",
        terms.marker()
    );
    let found: QueryResult<Place> = sql_query(question).get_result(connection).await;
    let standing = match found {
        Ok(standing) => standing,
        // The server keeps nothing of the branch, and says so to whatever runs in it.
        Err(error) if mentions_rollback(&error) => return Ok(Standing::Aborted),
        // Of a statement before, of which nobody has read all replies; or nothing is heard any more.
        Err(error) => {
            return Err(match answer(connection, terms).await {
                Ok(()) => Fault::Refused(error),
                Err(_) => Fault::Lost(error),
            });
        }
    };
    if standing.number != sent {
        return Err(Fault::Incomplete);
    }
    // Not before: a nested transaction that was dropped leaves its depth as well as its unread reply, and the
    // roll-back of the unit needs a connection that answers.
    internals::verify_depth(internals::status(connection), &terms.begun)?;
    let is_open = match terms.joined {
        // Not every server tells, and where there is none, the next write would commit by itself.
        true => takes_savepoints(connection).await?,
        false => standing.open != 0,
    };
    if !is_open || !standing.marked {
        return Err(Fault::Ended(diesel::result::Error::NotInTransaction));
    }
    Ok(Standing::Open)
}

/// Whether a transaction is open: outside of one, a savepoint is forgotten at once, without a word.
async fn takes_savepoints(connection: &mut AsyncMysqlConnection) -> Result<bool, Fault> {
    let name = sql::savepoint(0);
    let probe = format!("SAVEPOINT {name}; RELEASE SAVEPOINT {name}");
    match connection.batch_execute(&probe).await {
        Ok(()) => Ok(true),
        Err(error) if is_of_our_tables(&error) => Ok(false),
        Err(error) => Err(Fault::Refused(error)),
    }
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

/// Returns whether the server says that it has rolled the branch back: `XA_RBROLLBACK`, `XA_RBDEADLOCK`,
/// `XA_RBTIMEOUT`, words that begin the message in every language.
pub(super) fn mentions_rollback(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().contains("XA_RB"))
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
) -> Result<Identified, Fault> {
    let schema = &terms.server.schema;
    let query = for_unit(&tables::meta_for_writer(schema), schema, terms);
    identified(sql_query(query).load(connection).await)
}

/// A number that no other reply on the connection carries by chance.
fn rand_like(unit: UnitId) -> u32 {
    use std::hash::{BuildHasher as _, RandomState};
    RandomState::new().hash_one(unit) as u32
}
