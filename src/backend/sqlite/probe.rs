//! Queries on the transaction of a unit before it ends: whether it is still open, and the id of its database.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection, sql_query};

use crate::backend::sqlite::inspect::not_durable;
use crate::backend::sqlite::lineage;
use crate::backend::sqlite::{SCHEMA, tables};
use crate::backend::tables::{for_unit, identified};
use crate::backend::{PriorState, Terms, TransactionState, internals};
use crate::commit::{Fault, Identified};

/// Checks that the transaction is still that of the unit.
pub(super) fn verify(
    connection: &mut SqliteConnection,
    prior: &PriorState,
) -> Result<TransactionState, Fault> {
    internals::verify_depth(internals::sqlite_status(connection), prior)?;
    match is_in_transaction(connection) {
        Ok(true) => Ok(TransactionState::Open),
        Ok(false) => Err(Fault::TransactionEnded(
            diesel::result::Error::NotInTransaction,
        )),
        Err(error) => Err(Fault::Lost(error)),
    }
}

/// Returns whether any transaction is open.
pub(super) fn is_in_transaction(connection: &mut SqliteConnection) -> QueryResult<bool> {
    // Within a transaction `BEGIN` fails, and changes nothing.
    if connection.batch_execute("BEGIN").is_err() {
        return Ok(true);
    }
    connection.batch_execute("ROLLBACK")?;
    Ok(false)
}

/// Returns the id of the database, if it may join a unit of several writers.
pub(super) fn identify(
    connection: &mut SqliteConnection,
    terms: &Terms,
) -> Result<Identified, Fault> {
    if !terms.allow_not_durable
        && let Some(setting) = not_durable(connection, &terms.attached).map_err(Fault::Refused)?
    {
        return Err(Fault::NotDurable { setting });
    }
    let meta = tables::meta(connection).map_err(Fault::Refused)?;
    let query = for_unit(&meta, SCHEMA, terms);
    let identified = identified(sql_query(query).load(connection))?;
    if !lineage::verify(connection)? && !terms.read_only {
        // The place is committed together with the unit, or not at all.
        lineage::record(connection).map_err(Fault::Refused)?;
    }
    Ok(identified)
}
