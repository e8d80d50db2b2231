//! A unit as a savepoint in a transaction of somebody else on SQLite.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, SqliteConnection};

use crate::backend::sqlite::attach;
use crate::backend::sqlite::end::mentions_marker;
use crate::backend::sqlite::pragma::written;
use crate::backend::sqlite::probe::is_in_transaction;
use crate::backend::{Begun, Terms, internals, sql};
use crate::commit::Fault;

/// Begins: the savepoint is the marker.
pub(super) fn begin(connection: &mut SqliteConnection, terms: &Terms) -> QueryResult<Begun> {
    let depth = internals::depth(internals::sqlite_status(connection))?;
    // Outside of a transaction, a savepoint begins one.
    if !is_in_transaction(connection)? {
        return Err(diesel::result::Error::NotInTransaction);
    }
    attach::attach(connection, &terms.attached)?;
    attach::verify(connection, &terms.attached)?;
    connection.batch_execute(&format!(
        "SAVEPOINT {}{}",
        sql::MARKER,
        sql::open_savepoints(terms.savepoints)
    ))?;
    Ok(Begun {
        depth,
        written: written(connection)?,
        busy_timeout: None,
    })
}

/// Releases the savepoint, or goes back to it where nothing was to be written.
pub(super) fn release(connection: &mut SqliteConnection, read_only: bool) -> Result<(), Fault> {
    let message = match read_only {
        true => sql::undo_joined(),
        false => format!("RELEASE {}", sql::MARKER),
    };
    connection.batch_execute(&message).map_err(|error| {
        if mentions_marker(&error) {
            Fault::Ended(error)
        } else {
            Fault::Refused(error)
        }
    })
}

/// Goes back to the savepoint. Fails where an error has ended the transaction.
pub(super) fn undo(connection: &mut SqliteConnection, depth: u32) -> QueryResult<()> {
    connection.batch_execute(&sql::undo_joined())?;
    internals::return_to(internals::sqlite_status(connection), depth);
    Ok(())
}
