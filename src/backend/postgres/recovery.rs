//! Recovery on PostgreSQL. Records are written in transactions that wait briefly and are durable despite the settings
//! of the connection.

use diesel::sql_types::{Bool, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::identify::verify_holder;
use crate::backend::postgres::prepared::Listed;
use crate::backend::postgres::{lineage, prepared, tables};
use crate::backend::tables::{Found, database_id};
use crate::backend::{
    Backend, Lineage, ListedBranch, RecordRow, RecoveryDialect, TransactionId, sql,
};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// Begins a transaction that writes records.
const DURABLY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '1s'; \
                       SET LOCAL synchronous_commit = on";

#[derive(QueryableByName)]
struct Follows {
    #[diesel(sql_type = Bool)]
    follows: bool,
}

impl RecoveryDialect for AsyncPgConnection {
    type Listed = Listed;

    /// Sets nothing for the whole session: behind a transaction pooler the next user would get it.
    async fn recovery_settings(&mut self) -> QueryResult<()> {
        Ok(())
    }

    /// Writes a message to the WAL that nothing reads, if commits wait for a standby. A transaction that has written
    /// nothing does not wait, even if it has an id.
    async fn barrier(&mut self, _: &str) -> QueryResult<()> {
        let message = format!(
            "{DURABLY}; SELECT pg_catalog.pg_logical_emit_message(true, 'diesel_binds', '') \
             WHERE pg_catalog.current_setting('synchronous_standby_names') <> ''; COMMIT"
        );
        run_or_roll_back(self, &message).await
    }

    /// Inserts a fence: a row under the key of the unit, which excludes a late decision.
    async fn insert_fence(&mut self, row: String) -> QueryResult<()> {
        let insert = format!(
            "{DURABLY}; SET LOCAL statement_timeout = '20s'; INSERT {row} ON CONFLICT DO NOTHING; COMMIT"
        );
        run_or_roll_back(self, &insert).await
    }

    /// Returns the sign that the server is a standby, which lists no branch at all.
    async fn replica(&mut self) -> QueryResult<Option<&'static str>> {
        let row: Follows = sql_query("SELECT pg_catalog.pg_is_in_recovery() AS follows")
            .get_result(self)
            .await?;
        Ok(row.follows.then_some("`pg_is_in_recovery()`"))
    }

    async fn find_listed(&mut self, branch: &Branch) -> QueryResult<Option<Listed>> {
        prepared::listed(self, branch).await
    }

    async fn finish_listed(
        &mut self,
        branch: &Branch,
        listed: Listed,
        outcome: Outcome,
    ) -> QueryResult<()> {
        prepared::finish_listed(self, branch, listed, outcome).await
    }

    async fn branches(&mut self, namespace: &str) -> QueryResult<Vec<ListedBranch>> {
        prepared::branches(self, namespace).await
    }

    async fn recorded(&mut self, schema: &str, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        verify_holder(sql_query(tables::meta()).load(self).await, gid)?;
        sql::recorded(
            sql_query(sql::outcome(schema, gid)).get_result(self).await,
            gid,
        )
    }

    async fn database_id(&mut self, _: &str) -> Result<DatabaseId, Fault> {
        database_id(sql_query(tables::meta()).load(self).await)
    }

    async fn load_records(&mut self, query: String) -> QueryResult<Vec<RecordRow>> {
        sql_query(query).load(self).await
    }

    async fn execute_durably(&mut self, statement: String) -> QueryResult<usize> {
        self.batch_execute(DURABLY).await?;
        let changed = sql_query(statement).execute(self).await;
        end(self, changed).await
    }

    async fn forced(&mut self, schema: &str, unit: UnitId) -> QueryResult<Option<Outcome>> {
        sql::forced(self, schema, unit).await
    }

    async fn record_force(
        &mut self,
        schema: &str,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
    ) -> QueryResult<()> {
        let row = sql::force_row(schema, gid, outcome, "$1");
        let insert = sql_query(format!("INSERT {row} ON CONFLICT DO NOTHING"));
        self.batch_execute(DURABLY).await?;
        let inserted = insert.bind::<Text, _>(reason).execute(self).await;
        end(self, inserted).await.map(drop)
    }

    async fn lineage(&mut self) -> QueryResult<Option<Lineage>> {
        lineage::lineage(self).await.map(Some)
    }

    async fn fate(
        &mut self,
        transaction: TransactionId,
        persistent_id: Option<&str>,
    ) -> QueryResult<Option<Outcome>> {
        lineage::fate(self, transaction, persistent_id).await
    }

    async fn denies_tables(&mut self, _: &str) -> QueryResult<bool> {
        let row: Found = sql_query(tables::EXIST).get_result(self).await?;
        Ok(row.found)
    }

    async fn install(&mut self) -> QueryResult<()> {
        // `IF NOT EXISTS` does not keep two sessions from creating the same table at once; the lock does.
        let message = format!(
            "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('diesel_binds')); {}; COMMIT",
            Backend::Postgres.protocol_migration().up
        );
        run_or_roll_back(self, &message).await
    }
}

/// Runs a message that begins and commits a transaction. If the message fails, rolls that transaction back.
async fn run_or_roll_back(connection: &mut AsyncPgConnection, message: &str) -> QueryResult<()> {
    let done = connection.batch_execute(message).await;
    if done.is_err() {
        connection.batch_execute("ROLLBACK").await?;
    }
    done
}

async fn end(connection: &mut AsyncPgConnection, done: QueryResult<usize>) -> QueryResult<usize> {
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.batch_execute(end).await?;
    done
}
