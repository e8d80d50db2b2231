//! A unit as a savepoint in an outer transaction on SQLite.

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, SqliteConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};

use crate::backend::sqlite::attach;
use crate::backend::sqlite::pragma::written;
use crate::backend::sqlite::probe::is_in_transaction;
use crate::backend::{OuterDialect, PriorState, Terms, internals, sql};
use crate::commit::Fault;

impl<S> OuterDialect for SyncConnectionWrapper<SqliteConnection, S>
where
    S: SpawnBlocking + Send + 'static,
{
    /// Begins the unit: the savepoint is the marker.
    async fn begin_within_outer(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| {
            let depth = internals::depth(internals::sqlite_status(connection))?;
            // Outside of a transaction, a savepoint begins one.
            if !is_in_transaction(connection)? {
                return Err(diesel::result::Error::NotInTransaction);
            }
            attach::attach(connection, &terms.attached)?;
            attach::verify(connection, &terms.attached)?;
            connection.batch_execute(&format!(
                "SAVEPOINT {}{}",
                sql::marker(&terms),
                sql::open_savepoints(terms.savepoints)
            ))?;
            Ok(PriorState {
                depth,
                written: written(connection)?,
                ..PriorState::default()
            })
        })
        .await
    }

    async fn release(&mut self, terms: &Terms) -> Result<(), Fault> {
        let message = match terms.read_only {
            true => sql::undo_joined(terms),
            false => format!("RELEASE {}", sql::marker(terms)),
        };
        self.spawn_blocking(move |connection| Ok(connection.batch_execute(&message)))
            .await
            .map_err(Fault::Lost)?
            .map_err(|error| {
                if sql::mentions_marker(&error) {
                    Fault::TransactionEnded(error)
                } else {
                    Fault::Refused(error)
                }
            })
    }
}

/// Rolls back to the savepoint. Fails if an error has ended the transaction.
pub(super) fn undo(connection: &mut SqliteConnection, terms: &Terms) -> QueryResult<()> {
    connection.batch_execute(&sql::undo_joined(terms))?;
    internals::return_to(internals::sqlite_status(connection), terms.prior.depth);
    Ok(())
}
