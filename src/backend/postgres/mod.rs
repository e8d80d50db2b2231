//! PostgreSQL: units are transactions with a marker in a setting, branches are prepared transactions.

// Files, each of which imports only from those before it: `begin`, `clean`, `connect`, `lineage`, `marker`, `message`,
// `pooler`, `inspect`, `prepared`, `records`, `retry`, `role`, `outer`, `end`, `sandbox`, `tables`, `probe`.

mod begin;
mod clean;
#[cfg(any(feature = "deadpool", feature = "bb8"))]
mod connect;
mod end;
mod inspect;
mod lineage;
mod marker;
mod message;
mod outer;
mod pooler;
mod prepared;
mod probe;
mod records;
mod retry;
mod role;
#[cfg(feature = "testing")]
mod sandbox;
mod tables;

#[cfg(feature = "testing")]
use std::sync::Arc;

use diesel::{QueryResult, sql_query};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _,
};
use futures_util::future::{BoxFuture, FutureExt as _};

use crate::backend::tables::{Found, database_id, verify_holder};
use crate::backend::{
    Backend, Clock, Dialect, Lineage, ListedBranch, LoneCommitFault, PriorState, RecordRow,
    SavepointStep, Server, Terms, TransactionId, TransactionState, Unseen, internals, sql,
};
#[cfg(feature = "testing")]
use crate::backend::{Enclosed, NotEnclosed, Open};
use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub(crate) use self::connect::establish;

/// The tables of the protocol are always qualified. With another `search_path`, an unqualified decision would go into
/// another schema, and recovery would find none.
const SCHEMA: &str = "public.";

impl Dialect for AsyncPgConnection {
    const BACKEND: Backend = Backend::Postgres;
    /// The driver reads on a task of its own.
    const NOTICES_CLOSE: bool = true;
    // Messages of `elog` are never translated. The driver names its statements `s0`, `s1`, …; `DEALLOCATE ALL` and
    // `DISCARD ALL` in text drop them.
    const STALE: &'static [&'static str] = &[
        "cached plan must not change result type",
        "cache lookup failed for *",
        "prepared statement \"s*\" does not exist",
    ];
    const CLOCK: Clock = Clock {
        now: "CAST(floor(extract(epoch FROM clock_timestamp())) AS bigint)",
        at: "CAST(floor(extract(epoch FROM at)) AS bigint)",
    };

    async fn inspect(&mut self) -> QueryResult<Server> {
        inspect::inspect(self).await
    }

    async fn remarks(&mut self) -> QueryResult<Vec<String>> {
        let standby = self
            .replica()
            .await?
            .map(|_| "the server is a read-only standby");
        Ok(standby.into_iter().map(Into::into).collect())
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

    async fn verify(&mut self, terms: &Terms) -> Result<TransactionState, Fault> {
        probe::verify(self, terms).await
    }

    fn errors_are_final(server: &Server) -> bool {
        !server.pooled
    }

    /// Yields: the task of the driver then reads before this one continues.
    async fn read_pending(&mut self) {
        tokio::task::yield_now().await;
    }

    async fn closed(&mut self) -> Option<diesel::result::Error> {
        probe::closed(self).await
    }

    async fn ping(&mut self, _: &Terms) -> QueryResult<()> {
        probe::ping(self).await
    }

    async fn ask(&mut self, _: &Terms) -> Result<Asked, Fault> {
        probe::ask(self).await
    }

    async fn durable(&mut self, terms: &Terms) -> Result<Option<bool>, Fault> {
        let durability = inspect::durability(self).await;
        terms.accept(durability.map_err(Fault::Refused)?)
    }

    async fn identify(&mut self, terms: &Terms) -> Result<Identified, Fault> {
        probe::identify(self, terms).await
    }

    fn is_conflict(error: &diesel::result::Error) -> bool {
        retry::is_conflict(error)
    }

    async fn prepare(&mut self, terms: &Terms, branch: &Branch) -> Result<(), Fault> {
        end::prepare(self, terms, branch).await
    }

    async fn commit(&mut self, terms: &Terms) -> Result<Option<i64>, LoneCommitFault> {
        end::commit(self, terms).await
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        end::decide(self, terms, decision).await
    }

    async fn finish(&mut self, _: &Terms, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        prepared::finish(self, branch, outcome).await
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
                if let Err(error) = token.cancel_query(tokio_postgres::NoTls).await {
                    tracing::debug!(%error, "an abandoned statement could not be cancelled");
                }
            }
            .boxed(),
        )
    }

    /// Sets nothing for the whole session: behind a transaction pooler the next user would get it.
    async fn recovery_settings(&mut self) -> QueryResult<()> {
        Ok(())
    }

    async fn barrier(&mut self, _: &str) -> QueryResult<()> {
        records::barrier(self).await
    }

    async fn insert_fence(&mut self, row: String) -> QueryResult<()> {
        records::insert_fence(self, &row).await
    }

    async fn replica(&mut self) -> QueryResult<Option<&'static str>> {
        inspect::replica(self).await
    }

    async fn is_listed(&mut self, branch: &Branch) -> QueryResult<bool> {
        prepared::is_listed(self, branch).await
    }

    async fn finish_listed(&mut self, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        prepared::finish_listed(self, branch, outcome).await
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
        records::execute_durably(self, statement).await
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
        records::install(self).await
    }
}
