//! Checks that the transaction of a unit is still open.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, SqliteConnection};

use crate::backend::{PriorState, TransactionState, internals};
use crate::commit::Fault;

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
