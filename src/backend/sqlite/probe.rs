//! What is asked of a transaction of a unit before it ends: whether it is still there, whether it wrote, whose database
//! it is in.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection, sql_query};

use crate::backend::sqlite::inspect::not_durable;
use crate::backend::sqlite::lineage;
use crate::backend::sqlite::pragma::written;
use crate::backend::sqlite::{SCHEMA, tables};
use crate::backend::tables::{for_unit, identified};
use crate::backend::{Begun, Standing, Terms, internals};
use crate::commit::{Asked, Fault, Identified};

/// Whether the transaction is still that of the unit.
pub(super) fn verify(connection: &mut SqliteConnection, begun: &Begun) -> Result<Standing, Fault> {
    internals::verify_depth(internals::sqlite_status(connection), begun)?;
    match is_in_transaction(connection) {
        Ok(true) => Ok(Standing::Open),
        Ok(false) => Err(Fault::Ended(diesel::result::Error::NotInTransaction)),
        Err(error) => Err(Fault::Lost(error)),
    }
}

/// Whether a transaction is open, whoever began it.
pub(super) fn is_in_transaction(connection: &mut SqliteConnection) -> QueryResult<bool> {
    // Within a transaction this fails, and changes nothing.
    if connection.batch_execute("BEGIN").is_err() {
        return Ok(true);
    }
    connection.batch_execute("ROLLBACK")?;
    Ok(false)
}

/// Whether the transaction wrote.
pub(super) fn ask(connection: &mut SqliteConnection, begun: &Begun) -> QueryResult<Asked> {
    Ok(Asked {
        wrote: written(connection)? != begun.written,
        serializable: false,
    })
}

/// Whose database it is, if it may join a unit of several writers.
pub(super) fn identify(
    connection: &mut SqliteConnection,
    terms: &Terms,
) -> Result<Identified, Fault> {
    if !terms.allow_not_durable
        && let Some(setting) = not_durable(connection, &terms.attached).map_err(Fault::Refused)?
    {
        return Err(Fault::NotDurable { setting });
    }
    let query = for_unit(&tables::meta(), SCHEMA, terms);
    let identified = identified(sql_query(query).load(connection))?;
    if !lineage::verify(connection)? && !terms.read_only {
        // Kept together with the unit, if that is.
        lineage::record(connection).map_err(Fault::Refused)?;
    }
    Ok(identified)
}
