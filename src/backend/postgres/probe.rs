//! What is asked of a transaction of a unit before it ends: whether it is still there, whether it wrote, whose database
//! it is in.

use diesel::sql_types::{Bool, Text};
use diesel::{QueryResult, define_sql_function, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::postgres::SCHEMA;
use crate::backend::postgres::end::LEAVE_ROLE;
use crate::backend::{Terms, internals, sql};
use crate::commit::{Asked, Fault};
use crate::gid::DatabaseId;

// Typed functions rather than SQL literals: Diesel caches their statements, so that asking costs one round trip.
define_sql_function! {
    #[sql_name = "pg_catalog.txid_current_if_assigned"]
    fn txid_current_if_assigned() -> Nullable<BigInt>;
}
define_sql_function! {
    #[sql_name = "pg_catalog.current_setting"]
    fn current_setting(name: Text) -> Text;
}
define_sql_function! {
    #[sql_name = "pg_catalog.current_setting"]
    fn current_setting_if_set(name: Text, missing_ok: Bool) -> Nullable<Text>;
}

/// Whether the transaction is still that of the unit.
pub(super) async fn verify(connection: &mut AsyncPgConnection, terms: &Terms) -> Result<(), Fault> {
    internals::verify_depth(internals::status(connection), &terms.begun)?;
    let marker: QueryResult<Option<String>> =
        diesel::select(current_setting_if_set("diesel_binds.unit", true))
            .get_result(connection)
            .await;
    match marker {
        Ok(marker) if marker.as_deref() == Some(&terms.unit.to_string()) => Ok(()),
        Ok(_) => Err(Fault::Ended(diesel::result::Error::NotInTransaction)),
        // An aborted transaction answers nothing, keeps nothing, and takes no other statement.
        Err(_) => Ok(()),
    }
}

/// Whether the connection replies.
pub(super) async fn answer(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    // An empty query is answered in an aborted transaction as well.
    connection.batch_execute("").await
}

/// Whether the transaction wrote.
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

/// Whose database it is, if it may join a unit of several writers.
pub(super) async fn identify(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
) -> Result<DatabaseId, Fault> {
    terms.refuse_not_durable()?;
    // A role of the unit may not be allowed to read our tables.
    connection
        .batch_execute(LEAVE_ROLE)
        .await
        .map_err(Fault::Refused)?;
    sql::database_id(sql_query(sql::meta(SCHEMA)).load(connection).await)
}
