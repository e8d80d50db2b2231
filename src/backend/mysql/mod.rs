//! MySQL and MariaDB: units are XA branches with a savepoint as marker, or plain transactions that cannot be prepared.
//!
//! The name of a branch is fixed when it starts, so it cannot name the holder. The branch itself inserts a row that
//! does: recovery reads it under READ UNCOMMITTED.

// Files, each of which imports only from those before it: `clean`, `drain`, `inspect`, `listing`, `lost`, `finish`,
// `prepared`, `records`, `retry`, `tables`, `writes`, `begin`, `outer`, `probe`, `end`, `sandbox`.

mod begin;
mod clean;
mod drain;
mod end;
mod finish;
mod inspect;
mod listing;
mod lost;
mod outer;
mod prepared;
mod probe;
mod records;
mod retry;
#[cfg(feature = "testing")]
mod sandbox;
mod tables;
mod writes;

#[cfg(feature = "testing")]
use std::sync::Arc;

use diesel::sql_types::Bool;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{
    AnsiTransactionManager, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _,
};
use futures_util::future::{BoxFuture, FutureExt as _};

use crate::backend::tables::{Found, database_id, verify_holder};
use crate::backend::{
    Backend, Clock, Dialect, Lineage, ListedBranch, LoneCommitFault, PriorState, RecordRow,
    SavepointStep, Server, Terms, TransactionState, Unseen, internals, sql,
};
#[cfg(feature = "testing")]
use crate::backend::{Enclosed, NotEnclosed, Open};
use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId, Xid};

#[derive(QueryableByName)]
struct Flag {
    #[diesel(sql_type = Bool)]
    flag: bool,
}

impl Dialect for AsyncMysqlConnection {
    const BACKEND: Backend = Backend::Mysql;
    /// The driver reads nothing between two statements.
    const NOTICES_CLOSE: bool = false;
    const STALE: &'static [&'static str] = &["Prepared statement needs to be re-prepared"];
    const CLOCK: Clock = Clock {
        now: "CAST(UNIX_TIMESTAMP() AS SIGNED)",
        at: "CAST(FLOOR(UNIX_TIMESTAMP(at)) AS SIGNED)",
    };

    async fn inspect(&mut self) -> QueryResult<Server> {
        inspect::inspect(self).await
    }

    async fn remarks(&mut self) -> QueryResult<Vec<String>> {
        inspect::remarks(self).await
    }

    async fn begin(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        AnsiTransactionManager::begin_transaction_sql(self, &begin::begin(terms)).await?;
        Ok(PriorState::default())
    }

    async fn begin_within_outer(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        outer::begin(self, terms).await
    }

    async fn release(&mut self, terms: &Terms) -> Result<(), Fault> {
        outer::release(self, terms).await
    }

    async fn releasable(&mut self, terms: &Terms) -> Result<(), Fault> {
        outer::releasable(self, terms).await
    }

    #[cfg(feature = "testing")]
    async fn enclose(
        self,
        terms: &Terms,
        _: Option<Arc<Open<Self>>>,
    ) -> Result<Enclosed<Self>, NotEnclosed> {
        sandbox::enclose(self, terms).await
    }

    #[cfg(feature = "testing")]
    async fn end_enclosure(&mut self, terms: &Terms) -> Result<(), Fault> {
        sandbox::end(self, terms).await
    }

    async fn savepoint(&mut self, step: SavepointStep, depth: usize) -> QueryResult<()> {
        self.batch_execute(&sql::savepoint_step(step, depth)).await
    }

    /// Returns whether the unit is in an outer transaction. A plain transaction of its own runs without autocommit, and
    /// a branch takes no `COMMIT`.
    fn autocommits(terms: &Terms) -> bool {
        terms.within_outer && !terms.sandboxed
    }

    async fn drain(&mut self) -> QueryResult<()> {
        drain::drain(self).await
    }

    async fn verify(&mut self, terms: &Terms) -> Result<TransactionState, Fault> {
        probe::verify(self, terms).await
    }

    async fn ping(&mut self, terms: &Terms) -> QueryResult<()> {
        probe::ping(self, terms).await
    }

    /// Returns `false`: only the number of the error identifies a conflict, and it must be read from the connection.
    fn is_conflict(_: &diesel::result::Error) -> bool {
        false
    }

    async fn met_conflict(&mut self, error: &diesel::result::Error) -> bool {
        retry::is_conflict(self, error).await
    }

    async fn ask(&mut self, terms: &Terms) -> Result<Asked, Fault> {
        probe::ask(self, terms).await
    }

    async fn durable(&mut self, terms: &Terms) -> Result<Option<bool>, Fault> {
        let durability = inspect::durability(self, &terms.server.version).await;
        terms.accept(durability.map_err(Fault::Refused)?)
    }

    async fn identify(&mut self, terms: &Terms) -> Result<Identified, Fault> {
        probe::identify(self, terms).await
    }

    async fn prepare(&mut self, terms: &Terms, branch: &Branch) -> Result<(), Fault> {
        end::prepare(self, terms, branch).await
    }

    async fn commit(&mut self, terms: &Terms) -> Result<Option<i64>, LoneCommitFault> {
        end::commit(self, terms).await.map(|()| None)
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        end::decide(self, terms, decision).await
    }

    async fn finish(&mut self, terms: &Terms, _: &Branch, outcome: Outcome) -> QueryResult<()> {
        end::finish(self, terms, outcome).await
    }

    async fn rollback(&mut self, terms: &Terms, unseen: Unseen) -> Result<(), Fault> {
        end::roll_back(self, terms, unseen).await
    }

    async fn clean(&mut self, terms: &Terms) -> QueryResult<bool> {
        clean::clean(self, terms).await
    }

    async fn retire(&mut self) {
        internals::status(self).set_in_error();
    }

    fn cancel(&mut self) -> Option<BoxFuture<'static, ()>> {
        let token = self.cancel_token();
        Some(
            async move {
                if let Err(error) = token.cancel_query().await {
                    tracing::debug!(%error, "an abandoned statement could not be cancelled");
                }
            }
            .boxed(),
        )
    }

    async fn recovery_settings(&mut self) -> QueryResult<()> {
        self.batch_execute(
            "SET SESSION innodb_lock_wait_timeout = 1, SESSION autocommit = 1; \
             SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; SET SESSION TRANSACTION READ WRITE",
        )
        .await
    }

    async fn barrier(&mut self, schema: &str) -> QueryResult<()> {
        records::barrier(self, schema).await
    }

    async fn insert_fence(&mut self, row: String) -> QueryResult<()> {
        records::insert_fence(self, &row).await
    }

    async fn replica(&mut self) -> QueryResult<Option<&'static str>> {
        inspect::replica(self).await
    }

    async fn lineage(&mut self) -> QueryResult<Option<Lineage>> {
        inspect::lineage(self).await.map(Some)
    }

    async fn is_listed(&mut self, branch: &Branch) -> QueryResult<bool> {
        prepared::is_listed(self, branch).await
    }

    async fn finish_listed(&mut self, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        finish::finish(self, branch, outcome).await
    }

    async fn branches(&mut self, namespace: &str) -> QueryResult<Vec<ListedBranch>> {
        prepared::branches(self, namespace).await
    }

    async fn recorded(&mut self, schema: &str, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        verify_holder(sql_query(tables::meta(schema)).load(self).await, gid)?;
        sql::recorded(
            sql_query(sql::outcome(schema, gid)).get_result(self).await,
            gid,
        )
    }

    async fn database_id(&mut self, schema: &str) -> Result<DatabaseId, Fault> {
        database_id(sql_query(tables::meta(schema)).load(self).await)
    }

    async fn load_records(&mut self, query: String) -> QueryResult<Vec<RecordRow>> {
        sql_query(query).load(self).await
    }

    async fn execute_durably(&mut self, statement: String) -> QueryResult<usize> {
        sql_query(statement).execute(self).await
    }

    async fn forced(&mut self, schema: &str, unit: UnitId) -> QueryResult<Option<Outcome>> {
        let rows: Vec<sql::ForcedRow> = sql_query(sql::forced(schema, unit)).load(self).await?;
        Ok(rows.iter().map(sql::ForcedRow::outcome).next())
    }

    async fn record_force(
        &mut self,
        schema: &str,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
    ) -> QueryResult<()> {
        records::force(self, schema, gid, outcome, reason).await
    }

    async fn delete_branch_rows(&mut self, schema: &str, namespace: &str) -> QueryResult<usize> {
        prepared::delete_rows(self, schema, namespace).await
    }

    async fn denies_tables(&mut self, schema: &str) -> QueryResult<bool> {
        let row: Found = sql_query(tables::exist(schema)).get_result(self).await?;
        Ok(row.found)
    }

    async fn install(&mut self) -> QueryResult<()> {
        records::install(self).await
    }
}

fn is_mariadb(version: &str) -> bool {
    version.contains("MariaDB")
}

/// Returns whether the transaction is an XA branch: a read-only one has nothing to prepare.
fn is_branch(terms: &Terms) -> bool {
    terms.two_phase && !terms.read_only
}

fn xid(terms: &Terms) -> Xid {
    Xid {
        namespace: terms.namespace.as_ref().into(),
        unit: terms.unit,
        bind: terms.bind.into(),
    }
}

fn verb(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "COMMIT",
        Outcome::RolledBack => "ROLLBACK",
    }
}
