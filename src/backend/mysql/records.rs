//! Writing what a holder keeps of units.

use diesel::sql_types::Text;
use diesel::{QueryResult, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::sql;
use crate::commit::Outcome;
use crate::gid::Gid;

/// Keeps a late decision out.
pub(super) async fn keep_out(
    connection: &mut AsyncMysqlConnection,
    schema: &str,
    gid: &Gid,
) -> QueryResult<()> {
    // `INSERT IGNORE` turns other errors into warnings as well; the row that is read next is what counts.
    // Whoever deletes records counts on that it does not take long. MySQL has no such limit; it waits for locks only.
    connection
        .batch_execute(&format!(
            "/*M! SET STATEMENT max_statement_time = 20 FOR */ INSERT IGNORE {}",
            sql::fence_row(schema, gid)
        ))
        .await
}

/// Records what an operator forces.
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

/// Creates the tables.
pub(super) async fn install(connection: &mut AsyncMysqlConnection) -> QueryResult<()> {
    connection
        .batch_execute(include_str!(
            "../../../migrations/mysql/2026-01-01-000000_diesel_binds/up.sql"
        ))
        .await
}
