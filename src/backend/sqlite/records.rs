//! Reading and writing the records of units.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection, sql_query};

use crate::backend::sqlite::lineage;
use crate::backend::sqlite::pragma::patiently;
use crate::backend::sqlite::tables;
use crate::backend::tables::verify_holder;
use crate::backend::{Backend, sql};
use crate::commit::{Fault, Outcome};
use crate::gid::Gid;

/// Inserts a fence: a row under the key of the unit, which excludes a late decision.
pub(super) fn insert_fence(connection: &mut SqliteConnection, row: &str) -> QueryResult<()> {
    connection.batch_execute(&format!("INSERT OR IGNORE {row}"))
}

/// Returns the recorded outcome of a unit.
pub(super) fn recorded(
    connection: &mut SqliteConnection,
    schema: &str,
    gid: &Gid,
) -> Result<Option<Outcome>, Fault> {
    verify_holder(sql_query(tables::meta()).load(connection), gid)?;
    lineage::verify(connection)?;
    sql::recorded(
        sql_query(sql::outcome(schema, gid)).get_result(connection),
        gid,
    )
}

/// Creates the tables of the protocol.
pub(super) fn install(connection: &mut SqliteConnection) -> QueryResult<()> {
    // Several processes may install at once.
    patiently(connection, |connection| {
        connection.immediate_transaction(|connection| {
            connection.batch_execute(Backend::Sqlite.protocol_migration().up)?;
            lineage::install(connection)
        })
    })
}
