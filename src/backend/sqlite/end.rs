//! How a transaction of a unit ends on SQLite: the marker is used up first in every message.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, SqliteConnection};

use crate::backend::sqlite::{SCHEMA, begin, join};
use crate::backend::{Terms, internals, sql};
use crate::commit::{Decision, Fault};

/// Commits what nobody else has a part in.
pub(super) fn commit(connection: &mut SqliteConnection, terms: &Terms) -> Result<(), Fault> {
    let message = format!("RELEASE {}; COMMIT", sql::MARKER);
    send(connection, terms, &message)
}

/// Commits together with the record of the decision.
pub(super) fn decide(
    connection: &mut SqliteConnection,
    terms: &Terms,
    decision: &Decision,
) -> Result<(), Fault> {
    let message = format!(
        "RELEASE {}; {}; COMMIT",
        sql::MARKER,
        sql::insert_decision(SCHEMA, decision, "true")
    );
    send(connection, terms, &message)
}

/// Rolls back, or undoes the savepoint of a unit that has joined.
pub(super) fn roll_back(connection: &mut SqliteConnection, terms: &Terms) -> QueryResult<()> {
    if terms.joined {
        return join::undo(connection, terms.begun.depth);
    }
    let result = connection.batch_execute("ROLLBACK");
    begin::put_back(connection, terms)?;
    result?;
    internals::leave(internals::sqlite_status(connection));
    Ok(())
}

/// Sends the last message of a transaction. A `COMMIT` that fails leaves the transaction open.
fn send(connection: &mut SqliteConnection, terms: &Terms, message: &str) -> Result<(), Fault> {
    let Err(error) = connection.batch_execute(message) else {
        internals::leave(internals::sqlite_status(connection));
        // It is committed. A connection that keeps a setting of the unit is thrown away, no more.
        if let Err(error) = begin::put_back(connection, terms) {
            tracing::debug!(%error, "a setting of SQLite could not be put back");
            internals::sqlite_status(connection).set_in_error();
        }
        return Ok(());
    };
    let ended = mentions_marker(&error);
    let rolled_back = roll_back(connection, terms);
    Err(match rolled_back {
        _ if ended => Fault::Ended(error),
        Ok(()) => Fault::Refused(error),
        Err(_) => Fault::Lost(error),
    })
}

/// The name of the marker stands in the error.
pub(super) fn mentions_marker(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().ends_with(&format!("no such savepoint: {}", sql::MARKER)))
}
