//! A transaction that never commits on PostgreSQL.

use std::sync::Arc;

use diesel_async::{AnsiTransactionManager, AsyncPgConnection};

use crate::backend::postgres::begin::begin;
use crate::backend::postgres::marker::UseUpMarker;
use crate::backend::postgres::message::run;
use crate::backend::{Enclosed, NotEnclosed, Open, SandboxDialect, Terms, internals};
use crate::commit::Fault;

/// Makes the session read-only outside of the sandbox's transaction. After a `ROLLBACK` of the application, its next
/// statement would otherwise commit by itself. The setting is committed on its own, so that this `ROLLBACK` does not
/// undo it.
const NOTHING_ELSE_WRITES: &str = "BEGIN; SET SESSION default_transaction_read_only = on; COMMIT; ";

/// A trigger that fires at the commit, and fails.
///
/// `SET CONSTRAINTS ALL IMMEDIATE` fires it as well: the trigger then defers itself until the commit again. It does so
/// only once in a message, in which a `COMMIT` may follow. It runs with the rights of its owner, because the
/// application may be in another role by then. It also fires with `session_replication_role`, which is set against
/// foreign keys when data is loaded.
const GUARD: &str = "; CREATE TEMPORARY TABLE pg_temp.diesel_binds_sandbox (at timestamptz NOT NULL); \
     CREATE FUNCTION pg_temp.diesel_binds_sandbox() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER \
     SET search_path = pg_catalog, pg_temp AS $diesel_binds$ BEGIN \
     IF NEW.at <> statement_timestamp() AND current_query() ~* 'set\\s+constraints' THEN \
     SET CONSTRAINTS pg_temp.diesel_binds_a_sandbox_never_commits DEFERRED; \
     INSERT INTO pg_temp.diesel_binds_sandbox VALUES (statement_timestamp()); RETURN NULL; END IF; \
     RAISE EXCEPTION 'diesel_binds: a sandbox never commits: leave COMMIT to the session' \
     USING CONSTRAINT = 'diesel_binds_a_sandbox_never_commits'; END $diesel_binds$; \
     CREATE CONSTRAINT TRIGGER diesel_binds_a_sandbox_never_commits AFTER INSERT \
     ON pg_temp.diesel_binds_sandbox DEFERRABLE INITIALLY DEFERRED FOR EACH ROW \
     EXECUTE FUNCTION pg_temp.diesel_binds_sandbox(); \
     ALTER TABLE pg_temp.diesel_binds_sandbox ENABLE ALWAYS TRIGGER diesel_binds_a_sandbox_never_commits; \
     INSERT INTO pg_temp.diesel_binds_sandbox VALUES ('-infinity')";

impl SandboxDialect for AsyncPgConnection {
    /// Begins the sandbox. A read-only transaction needs no guard: it has nothing to keep.
    async fn enclose(
        mut self,
        terms: &Terms,
        _: Option<Arc<Open<Self>>>,
    ) -> Result<Enclosed<Self>, NotEnclosed> {
        let guard = if terms.read_only { "" } else { GUARD };
        let message = format!("{NOTHING_ELSE_WRITES}{}{guard}", begin(terms));
        AnsiTransactionManager::begin_transaction_sql(&mut self, &message).await?;
        Ok(Enclosed {
            connection: self,
            copy: None,
        })
    }

    async fn end_enclosure(&mut self, terms: &Terms) -> Result<(), Fault> {
        // Behind a pooler, another client may get the connection next.
        let message = format!(
            "{}; ROLLBACK; RESET default_transaction_read_only",
            UseUpMarker(terms)
        );
        run(self, &message).await?;
        internals::reset(internals::status(self));
        Ok(())
    }
}
