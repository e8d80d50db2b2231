//! A unit as a savepoint in an outer transaction on PostgreSQL.

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};

use crate::backend::postgres::marker::UseUpMarker;
use crate::backend::postgres::message::run;
use crate::backend::postgres::role::LeaveRole;
use crate::backend::{
    OuterDialect, PriorState, SavepointStep, Terms, UnitDialect as _, internals, sql,
};
use crate::commit::Fault;

/// Defers all initially deferred constraints again, as after a commit: they are then checked at the end of the next
/// unit. `SET CONSTRAINTS ALL IMMEDIATE` has changed them.
const DEFER_AGAIN: &str = "DO $diesel_binds$ DECLARE names text; BEGIN \
     SELECT pg_catalog.string_agg(DISTINCT pg_catalog.format('%I.%I', n.nspname, c.conname), ', ') INTO names \
     FROM pg_catalog.pg_constraint c JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace \
     WHERE c.condeferred AND NOT pg_catalog.pg_is_other_temp_schema(n.oid) \
     AND pg_catalog.has_schema_privilege(n.oid, 'USAGE') AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_constraint o \
     WHERE o.connamespace = c.connamespace AND o.conname = c.conname AND NOT o.condeferrable); \
     IF names IS NOT NULL THEN EXECUTE 'SET CONSTRAINTS ' || names || ' DEFERRED'; END IF; END $diesel_binds$";

impl OuterDialect for AsyncPgConnection {
    /// Begins the unit, and leaves the marker. An enclosing unit gets its own marker back at the end.
    async fn begin_within_outer(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        let depth = internals::depth(internals::status(self))?;
        // The server refuses writes until the savepoint ends.
        let read_only = match terms.sandboxed && terms.read_only {
            true => "; SET TRANSACTION READ ONLY",
            false => "",
        };
        let message = format!(
            "SAVEPOINT {}{read_only}; SELECT pg_catalog.set_config('diesel_binds.outer', \
             coalesce(pg_catalog.current_setting('diesel_binds.unit', true), ''), true); \
             SELECT pg_catalog.set_config('diesel_binds.unit', '{}', true){}",
            sql::marker(terms),
            terms.marker(),
            sql::open_savepoints(terms.savepoints),
        );
        self.batch_execute(&message).await?;
        Ok(PriorState {
            depth,
            ..PriorState::default()
        })
    }

    /// Makes sure that the savepoint could be released. In a sandbox, runs the checks of a commit, and undoes the
    /// settings that would not outlive it.
    async fn releasable(&mut self, terms: &Terms) -> Result<(), Fault> {
        let asked = match terms.sandboxed {
            true => {
                let message = format!(
                    "{}; {}; {DEFER_AGAIN}",
                    UseUpMarker(terms),
                    LeaveRole(terms)
                );
                return run(self, &message).await;
            }
            false => self.savepoint(SavepointStep::Set, 0).await,
        };
        asked.map_err(Fault::Refused)?;
        let released = self.savepoint(SavepointStep::Release, 0).await;
        released.map_err(Fault::Refused)
    }

    async fn release(&mut self, terms: &Terms) -> Result<(), Fault> {
        let end = match terms.read_only {
            true => sql::undo_joined(terms),
            false => format!(
                "SELECT pg_catalog.set_config('diesel_binds.unit', \
                 pg_catalog.current_setting('diesel_binds.outer'), true); RELEASE SAVEPOINT {}",
                sql::marker(terms)
            ),
        };
        let message = format!("{}; {end}", UseUpMarker(terms));
        run(self, &message).await
    }
}

/// Rolls back to the savepoint, in any state of the transaction.
pub(super) async fn undo(connection: &mut AsyncPgConnection, terms: &Terms) -> QueryResult<()> {
    connection.batch_execute(&sql::undo_joined(terms)).await?;
    internals::return_to(internals::status(connection), terms.prior.depth);
    Ok(())
}
