//! Writing the records of units.

use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::{Backend, sql};
use crate::commit::Outcome;
use crate::gid::{Gid, UnitId};

#[derive(QueryableByName)]
struct Variable {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

/// Inserts a row and deletes it, if commits wait for a replica. The binary log then contains the transaction, and a
/// replica confirms the log in order.
pub(super) async fn barrier(
    connection: &mut AsyncMysqlConnection,
    schema: &str,
) -> QueryResult<()> {
    // The second name is that of MySQL.
    let waits: Vec<Variable> = sql_query(
        "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('rpl_semi_sync_master_enabled', 'rpl_semi_sync_source_enabled')",
    )
    .load(connection)
    .await?;
    if waits.iter().all(|variable| variable.value != "ON") {
        return Ok(());
    }
    let unit = UnitId::of_no_unit();
    let confirmed = connection
        .batch_execute(&format!(
            "START TRANSACTION; INSERT INTO {schema}diesel_binds_branch (unit, branch, holder, holder_id, connection_id, parts) \
             VALUES ('{unit}', '', '', '', CONNECTION_ID(), 0); \
             DELETE FROM {schema}diesel_binds_branch WHERE unit = '{unit}'; COMMIT"
        ))
        .await;
    if confirmed.is_err() {
        connection.batch_execute("ROLLBACK").await?;
    }
    confirmed
}

/// Inserts a fence: a row under the key of the unit, which excludes a late decision.
pub(super) async fn insert_fence(
    connection: &mut AsyncMysqlConnection,
    row: &str,
) -> QueryResult<()> {
    // `INSERT IGNORE` turns other errors into warnings as well; only the row that is read next counts. The deletion of
    // records relies on the limit of this statement. MySQL has no such limit; it limits only waits for locks.
    connection
        .batch_execute(&format!(
            "/*M! SET STATEMENT max_statement_time = 20 FOR */ INSERT IGNORE {row}"
        ))
        .await
}

/// Records a forced outcome.
pub(super) async fn force(
    connection: &mut AsyncMysqlConnection,
    schema: &str,
    gid: &Gid,
    outcome: Outcome,
    reason: &str,
) -> QueryResult<()> {
    let row = sql::force_row(schema, gid, outcome, "?");
    let insert = sql_query(format!("INSERT IGNORE {row}"));
    insert
        .bind::<Text, _>(reason)
        .execute(connection)
        .await
        .map(drop)
}

/// Creates the tables of the protocol.
pub(super) async fn install(connection: &mut AsyncMysqlConnection) -> QueryResult<()> {
    connection
        .batch_execute(Backend::Mysql.protocol_migration().up)
        .await
}
