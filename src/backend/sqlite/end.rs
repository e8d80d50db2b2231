//! The end of a unit's transaction on SQLite: every message uses up the marker first.
//!
//! There is no second marker. Between two statements of a message, only an error can end a transaction of SQLite, and
//! the message stops at the error.

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection as _;

use crate::backend::sqlite::pragma::number;
use crate::backend::sqlite::{SCHEMA, attach, begin, outer};
use crate::backend::{Terms, Unseen, internals, sql};
use crate::commit::{Decision, Fault};

/// Commits the only writer, or a reader.
pub(super) fn commit(connection: &mut SqliteConnection, terms: &Terms) -> Result<(), Fault> {
    if terms.read_only
        && number(
            connection,
            "SELECT query_only AS value FROM pragma_query_only",
        )
        .map_err(Fault::Refused)?
            == 0
    {
        roll_back(connection, terms, Unseen::Nothing)?;
        return Err(Fault::Refused(attach::refusal(
            "a statement has made the read-only unit writable".to_owned(),
        )));
    }
    let message = format!("RELEASE {}; COMMIT", sql::marker(terms));
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
        sql::marker(terms),
        sql::insert_decision(SCHEMA, decision, "true"),
    );
    send(connection, terms, &message)
}

/// Rolls back, or undoes the savepoint of a unit within an outer transaction.
pub(super) fn roll_back(
    connection: &mut SqliteConnection,
    terms: &Terms,
    unseen: Unseen,
) -> Result<(), Fault> {
    if terms.within_outer {
        return outer::undo(connection, terms).map_err(Fault::Refused);
    }
    if unseen != Unseen::Nothing
        && let Err(error) = connection.batch_execute(&format!("RELEASE {}", sql::marker(terms)))
    {
        return Err(if sql::mentions_marker(&error) {
            Fault::TransactionEnded(error)
        } else {
            Fault::Refused(error)
        });
    }
    let result = connection.batch_execute("ROLLBACK");
    begin::put_back(connection, terms).map_err(Fault::Refused)?;
    result.map_err(Fault::Refused)?;
    internals::reset(internals::sqlite_status(connection));
    Ok(())
}

/// Sends the last message of a transaction. A `COMMIT` that fails leaves the transaction open.
fn send(connection: &mut SqliteConnection, terms: &Terms, message: &str) -> Result<(), Fault> {
    let Err(error) = connection.batch_execute(message) else {
        internals::reset(internals::sqlite_status(connection));
        // The transaction is committed. A connection that keeps a setting of the unit is closed, no more.
        if let Err(error) = begin::put_back(connection, terms) {
            tracing::debug!(%error, "a setting of SQLite could not be put back");
            internals::sqlite_status(connection).set_in_error();
        }
        return Ok(());
    };
    let ended = sql::mentions_marker(&error);
    let rolled_back = roll_back(connection, terms, Unseen::Nothing);
    Err(match rolled_back {
        _ if ended => Fault::TransactionEnded(error),
        Ok(()) => Fault::Refused(error),
        Err(_) => Fault::Lost(error),
    })
}
