//! A unit as a savepoint in a transaction of somebody else on MySQL and MariaDB.

use diesel::QueryResult;
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};

use crate::backend::mysql::end::mentions_marker;
use crate::backend::{Begun, Terms, internals, sql};
use crate::commit::Fault;

/// Begins: the savepoint is the marker.
pub(super) async fn begin(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> QueryResult<Begun> {
    let depth = internals::depth(internals::status(connection))?;
    // Outside of a transaction a savepoint is forgotten at once, without a word: it cannot be released.
    let message = format!(
        "SAVEPOINT {marker}; RELEASE SAVEPOINT {marker}; SAVEPOINT {marker}{}",
        sql::open_savepoints(terms.savepoints),
        marker = sql::MARKER,
    );
    connection.batch_execute(&message).await?;
    Ok(Begun {
        depth,
        ..Begun::default()
    })
}

/// Releases the savepoint, or goes back to it where nothing was to be written.
pub(super) async fn release(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> Result<(), Fault> {
    let message = match terms.read_only {
        true => sql::undo_joined(),
        false => format!("RELEASE SAVEPOINT {}", sql::MARKER),
    };
    connection.batch_execute(&message).await.map_err(|error| {
        if mentions_marker(&error) {
            Fault::Ended(error)
        } else {
            Fault::Refused(error)
        }
    })
}

/// Goes back to the savepoint. Fails where a deadlock has ended the transaction.
pub(super) async fn undo(connection: &mut AsyncMysqlConnection, terms: &Terms) -> QueryResult<()> {
    connection.batch_execute(&sql::undo_joined()).await?;
    internals::return_to(internals::status(connection), terms.begun.depth);
    Ok(())
}
