//! A unit as a savepoint in an outer transaction on MySQL and MariaDB.

use diesel::{QueryResult, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

use crate::backend::message::sql;
use crate::backend::mysql::Flag;
use crate::backend::mysql::writes::{NonTransactionalCheck, counts_writes, writes};
use crate::backend::{
    OuterDialect, PriorState, SavepointStep, Terms, UnitDialect as _, internals, sql,
};
use crate::commit::Fault;

impl OuterDialect for AsyncMysqlConnection {
    /// `true`: not every server can tell whether a transaction is open.
    const OUTER_NEEDS_SERVER: bool = true;

    /// Begins the unit: the savepoint is the marker.
    async fn begin_within_outer(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        let depth = internals::depth(internals::status(self))?;
        let count = match terms.sandboxed && counts_writes(terms) {
            true => format!("; SET @diesel_binds_writes = {}", writes(terms)),
            false => String::new(),
        };
        // Outside of a transaction, the server drops a savepoint at once without an error: then it cannot be released.
        let message = format!(
            "SAVEPOINT {marker}; RELEASE SAVEPOINT {marker}; SET @diesel_binds_unit = '{}'; SAVEPOINT {marker}{}{count}",
            terms.marker(),
            sql::open_savepoints(terms.savepoints),
            marker = sql::marker(terms),
        );
        self.batch_execute(&message).await?;
        Ok(PriorState {
            depth,
            ..PriorState::default()
        })
    }

    /// Makes sure that the savepoint could be released. In a sandbox, also checks that a roll-back would undo the whole
    /// unit.
    async fn releasable(&mut self, terms: &Terms) -> Result<(), Fault> {
        if terms.sandboxed {
            return refuse_non_transactional(self).await;
        }
        let set = self.savepoint(SavepointStep::Set, 0).await;
        set.map_err(Fault::Refused)?;
        let released = self.savepoint(SavepointStep::Release, 0).await;
        released.map_err(Fault::Refused)
    }

    async fn release(&mut self, terms: &Terms) -> Result<(), Fault> {
        let message = match terms.read_only {
            true => sql::undo_joined(terms),
            false => format!("RELEASE SAVEPOINT {}", sql::marker(terms)),
        };
        self.batch_execute(&message).await.map_err(|error| {
            if sql::mentions_marker(&error) {
                Fault::TransactionEnded(error)
            } else {
                Fault::Refused(error)
            }
        })
    }
}

/// Fails if the transaction has ever changed a table that cannot be rolled back.
pub(super) async fn refuse_non_transactional(
    connection: &mut AsyncMysqlConnection,
) -> Result<(), Fault> {
    let noted = connection
        .batch_execute(&sql! { NonTransactionalCheck })
        .await;
    noted.map_err(Fault::Refused)?;
    let Flag { flag } = sql_query("SELECT @diesel_binds_warnings > 0 AS flag")
        .get_result(connection)
        .await
        .map_err(Fault::Lost)?;
    match flag {
        false => Ok(()),
        true => Err(Fault::NonTransactional(
            diesel::result::Error::RollbackTransaction,
        )),
    }
}

/// Rolls back to the savepoint. Fails if a deadlock has ended the transaction.
pub(super) async fn undo(connection: &mut AsyncMysqlConnection, terms: &Terms) -> QueryResult<()> {
    connection.batch_execute(&sql::undo_joined(terms)).await?;
    internals::return_to(internals::status(connection), terms.prior.depth);
    Ok(())
}
