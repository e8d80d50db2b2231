//! Queries on the transaction of a unit before it ends: whether it is still open, whether it wrote, and the id of its
//! database.

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Text;
use diesel::{QueryResult, define_sql_function, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::postgres::marker::UseUpMarker;
use crate::backend::postgres::message::{pending_error, run};
use crate::backend::postgres::role::LeaveRole;
use crate::backend::postgres::{SCHEMA, tables};
use crate::backend::tables::{for_unit, identified};
use crate::backend::{Terms, TransactionState, internals};
use crate::commit::{Asked, Fault, Identified};

// Typed functions rather than SQL literals: Diesel caches their statements, so that asking costs one round trip.
define_sql_function! {
    #[sql_name = "pg_catalog.txid_current_if_assigned"]
    fn txid_current_if_assigned() -> Nullable<BigInt>;
}
define_sql_function! {
    #[sql_name = "pg_catalog.current_setting"]
    fn current_setting(name: Text) -> Text;
}

/// A query that reads the marker as `SHOW` does, which takes no snapshot: `SET TRANSACTION` of the application may
/// follow.
///
/// A query with a type of its own stays prepared in Diesel.
#[derive(QueryId)]
struct ShowMarker;

impl Query for ShowMarker {
    type SqlType = Text;
}

impl QueryFragment<Pg> for ShowMarker {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SHOW diesel_binds.unit");
        Ok(())
    }
}

/// Checks that the transaction is still that of the unit.
pub(super) async fn verify(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
) -> Result<TransactionState, Fault> {
    internals::verify_depth(internals::status(connection), &terms.prior)?;
    let marker: QueryResult<String> = ShowMarker.get_result(connection).await;
    match marker {
        Ok(marker) if marker == terms.marker().to_string() => Ok(TransactionState::Marked),
        Ok(_) => Err(Fault::TransactionEnded(
            diesel::result::Error::NotInTransaction,
        )),
        // The application has removed the prepared statements, the connection behind a pooler is another one, or the
        // transaction is aborted. Only an aborted transaction cannot write.
        Err(_) => match run(connection, &UseUpMarker(terms).to_string()).await {
            Ok(()) => Ok(TransactionState::Marked),
            // An aborted transaction answers nothing, keeps nothing, and accepts no other statement.
            Err(Fault::Refused(_)) => Ok(TransactionState::Aborted),
            Err(fault) => Err(fault),
        },
    }
}

/// Returns why the connection is closed, if the driver has noticed that it is.
pub(super) async fn closed(connection: &mut AsyncPgConnection) -> Option<Error> {
    // Diesel also calls a connection broken if a transaction of its own was begun and dropped there. On a closed one
    // nothing is sent.
    if !internals::is_closed(connection) || ping(connection).await.is_ok() {
        return None;
    }
    let reason = "the connection is closed".to_owned();
    Some(pending_error(connection).unwrap_or_else(|| {
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(reason))
    }))
}

/// Makes sure that the connection replies.
pub(super) async fn ping(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    // An empty query is also answered in an aborted transaction.
    connection.batch_execute("").await
}

/// Returns whether the transaction wrote, and whether it is serializable.
pub(super) async fn ask(connection: &mut AsyncPgConnection) -> Result<Asked, Fault> {
    let (transaction, isolation): (Option<i64>, String) = diesel::select((
        txid_current_if_assigned(),
        current_setting("transaction_isolation"),
    ))
    .get_result(connection)
    .await
    .map_err(Fault::Refused)?;
    Ok(Asked {
        wrote: transaction.is_some(),
        serializable: isolation == "serializable",
    })
}

/// Returns the id of the database, if it may join a unit of several writers.
pub(super) async fn identify(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
) -> Result<Identified, Fault> {
    // A role of the unit may not be allowed to read the tables of the protocol. Only the transaction has the role that
    // was set before.
    let message = format!("{}; {}", UseUpMarker(terms), LeaveRole(terms));
    run(connection, &message).await?;
    let query = for_unit(&tables::meta_for_writer(), SCHEMA, terms);
    identified(sql_query(query).load(connection).await)
}
