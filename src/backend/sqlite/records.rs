//! Reading and writing what a holder keeps of units.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection, sql_query};

use crate::backend::sql;
use crate::backend::sqlite::pragma::patiently;
use crate::commit::{Fault, Outcome};
use crate::gid::Gid;

/// Keeps a late decision out.
pub(super) fn keep_out(
    connection: &mut SqliteConnection,
    schema: &str,
    gid: &Gid,
) -> QueryResult<()> {
    connection.batch_execute(&format!("INSERT OR IGNORE {}", sql::fence_row(schema, gid)))
}

/// How a unit ended, as it is recorded.
pub(super) fn recorded(
    connection: &mut SqliteConnection,
    schema: &str,
    gid: &Gid,
) -> Result<Option<Outcome>, Fault> {
    sql::verify_holder(sql_query(sql::meta(schema)).load(connection), gid)?;
    sql::recorded(sql_query(sql::outcome(schema, gid)).get_result(connection))
}

/// Creates the tables.
pub(super) fn install(connection: &mut SqliteConnection) -> QueryResult<()> {
    // Several processes may install at once.
    patiently(connection, |connection| {
        connection.immediate_transaction(|connection| {
            connection.batch_execute(include_str!(
                "../../../migrations/sqlite/2026-01-01-000000_diesel_binds/up.sql"
            ))
        })
    })
}
