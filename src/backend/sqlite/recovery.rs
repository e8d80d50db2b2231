//! Recovery on SQLite, which lists no branches.

use std::convert::Infallible;

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection, sql_query};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};

use crate::backend::sqlite::pragma::patiently;
use crate::backend::sqlite::{identity, lineage};
use crate::backend::{Backend, ListedBranch, RecordRow, RecoveryDialect, sql};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

impl<S> RecoveryDialect for SyncConnectionWrapper<SqliteConnection, S>
where
    S: SpawnBlocking + Send + 'static,
{
    type Listed = Infallible;

    async fn recovery_settings(&mut self) -> QueryResult<()> {
        self.spawn_blocking(|connection| {
            connection.batch_execute("PRAGMA busy_timeout = 1000; PRAGMA synchronous = EXTRA")
        })
        .await
    }

    /// Inserts a fence: a row under the key of the unit, which excludes a late decision.
    async fn insert_fence(&mut self, row: String) -> QueryResult<()> {
        self.spawn_blocking(move |connection| {
            connection.batch_execute(&format!("INSERT OR IGNORE {row}"))
        })
        .await
    }

    async fn find_listed(&mut self, _: &Branch) -> QueryResult<Option<Infallible>> {
        Ok(None)
    }

    async fn finish_listed(
        &mut self,
        _: &Branch,
        listed: Infallible,
        _: Outcome,
    ) -> QueryResult<()> {
        match listed {}
    }

    async fn branches(&mut self, _: &str) -> QueryResult<Vec<ListedBranch>> {
        Ok(Vec::new())
    }

    async fn recorded(&mut self, schema: &str, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        let (schema, gid) = (schema.to_owned(), gid.clone());
        self.spawn_blocking(move |connection| Ok(recorded(connection, &schema, &gid)))
            .await
            .map_err(Fault::Lost)?
    }

    async fn database_id(&mut self, _: &str) -> Result<DatabaseId, Fault> {
        self.spawn_blocking(move |connection| {
            patiently(connection, |connection| Ok(identity::database(connection)))
        })
        .await
        .map_err(Fault::Lost)?
    }

    async fn load_records(&mut self, query: String) -> QueryResult<Vec<RecordRow>> {
        self.spawn_blocking(move |connection| sql_query(query).load(connection))
            .await
    }

    async fn execute_durably(&mut self, statement: String) -> QueryResult<usize> {
        self.spawn_blocking(move |connection| sql_query(statement).execute(connection))
            .await
    }

    async fn forced(&mut self, _: &str, _: UnitId) -> QueryResult<Option<Outcome>> {
        Ok(None)
    }

    async fn record_force(&mut self, _: &str, _: &Gid, _: Outcome, _: &str) -> QueryResult<()> {
        unreachable!("SQLite lists no branch that anybody could force")
    }

    async fn adopt(&mut self, _: &str, id: Option<DatabaseId>) -> QueryResult<()> {
        self.spawn_blocking(move |connection| lineage::adopt(connection, id))
            .await
    }

    async fn record_place(&mut self) -> QueryResult<()> {
        self.spawn_blocking(lineage::record_if_installed).await
    }

    async fn install(&mut self) -> QueryResult<()> {
        // Several processes may install at once.
        self.spawn_blocking(|connection| {
            patiently(connection, |connection| {
                connection.immediate_transaction(|connection| {
                    connection.batch_execute(Backend::Sqlite.protocol_migration().up)?;
                    lineage::install(connection)
                })
            })
        })
        .await
    }
}

/// Returns the recorded outcome of a unit.
fn recorded(
    connection: &mut SqliteConnection,
    schema: &str,
    gid: &Gid,
) -> Result<Option<Outcome>, Fault> {
    if identity::database(connection)? != gid.holder_id {
        return Err(Fault::Replaced);
    }
    sql::recorded(
        sql_query(sql::outcome(schema, gid)).get_result(connection),
        gid,
    )
}
