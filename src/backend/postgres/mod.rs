//! PostgreSQL: units are transactions with a marker in a setting, branches are prepared transactions.

mod begin;
mod end;
mod inspect;
mod join;
mod prepared;
mod probe;
mod records;
mod retry;
#[cfg(feature = "testing")]
mod sandbox;

#[cfg(feature = "testing")]
use std::sync::Arc;

use diesel::{QueryResult, sql_query};
use diesel_async::{
    AnsiTransactionManager, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _,
};
use futures_util::future::{BoxFuture, FutureExt as _};

use crate::backend::{
    AloneFault, Backend, Begun, Clock, Dialect, Found, RecordRow, SavepointStep, Server, Terms,
    internals, sql,
};
#[cfg(feature = "testing")]
use crate::backend::{Enclosed, NotEnclosed, Open};
use crate::commit::{Asked, Decision, Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// Our tables are always named in full: under a `search_path` of the application an unqualified decision would go
/// into another schema, and recovery would find none.
const SCHEMA: &str = "public.";

impl Dialect for AsyncPgConnection {
    const BACKEND: Backend = Backend::Postgres;
    const CLOCK: Clock = Clock {
        now: "CAST(floor(extract(epoch FROM clock_timestamp())) AS bigint)",
        at: "CAST(floor(extract(epoch FROM at)) AS bigint)",
    };

    async fn inspect(&mut self) -> QueryResult<Server> {
        inspect::inspect(self).await
    }

    async fn begin(&mut self, terms: &Terms) -> QueryResult<Begun> {
        AnsiTransactionManager::begin_transaction_sql(self, &begin::begin(terms)).await?;
        Ok(Begun::default())
    }

    async fn join(&mut self, terms: &Terms) -> QueryResult<Begun> {
        join::begin(self, terms).await
    }

    async fn release(&mut self, terms: &Terms) -> Result<(), Fault> {
        join::release(self, terms).await
    }

    async fn releasable(&mut self, terms: &Terms) -> Result<(), Fault> {
        join::releasable(self, terms).await
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
    async fn leave(&mut self, terms: &Terms) -> Result<(), Fault> {
        sandbox::leave(self, terms).await
    }

    async fn savepoint(&mut self, step: SavepointStep, depth: usize) -> QueryResult<()> {
        self.batch_execute(&sql::savepoint_step(step, depth)).await
    }

    async fn verify(&mut self, terms: &Terms) -> Result<(), Fault> {
        probe::verify(self, terms).await
    }

    async fn answer(&mut self, _: &Terms) -> QueryResult<()> {
        probe::answer(self).await
    }

    async fn ask(&mut self, _: &Terms) -> Result<Asked, Fault> {
        probe::ask(self).await
    }

    async fn identify(&mut self, terms: &Terms) -> Result<DatabaseId, Fault> {
        probe::identify(self, terms).await
    }

    fn is_conflict(error: &diesel::result::Error) -> bool {
        retry::is_conflict(error)
    }

    async fn prepare(&mut self, terms: &Terms, branch: &Branch) -> Result<(), Fault> {
        end::prepare(self, terms, branch).await
    }

    async fn commit(&mut self, terms: &Terms) -> Result<(), AloneFault> {
        end::commit(self, terms).await
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        end::decide(self, terms, decision).await
    }

    async fn finish(&mut self, _: &Terms, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        prepared::finish(self, branch, outcome).await
    }

    async fn rollback(&mut self, terms: &Terms) -> QueryResult<()> {
        end::roll_back(self, terms).await
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

    /// Nothing for the whole session: behind a transaction pooler the next user would get it.
    async fn recovery_settings(&mut self) -> QueryResult<()> {
        Ok(())
    }

    async fn keep_out(&mut self, schema: &str, gid: &Gid) -> QueryResult<()> {
        records::keep_out(self, schema, gid).await
    }

    async fn replica(&mut self) -> QueryResult<Option<&'static str>> {
        inspect::replica(self).await
    }

    async fn lists(&mut self, branch: &Branch) -> QueryResult<bool> {
        prepared::lists(self, branch).await
    }

    async fn finish_listed(&mut self, branch: &Branch, outcome: Outcome) -> QueryResult<()> {
        prepared::finish_listed(self, branch, outcome).await
    }

    async fn branches(&mut self, namespace: &str) -> QueryResult<Vec<Found>> {
        prepared::branches(self, namespace).await
    }

    async fn recorded(&mut self, schema: &str, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        sql::verify_holder(sql_query(sql::meta(schema)).load(self).await, gid)?;
        sql::recorded(sql_query(sql::outcome(schema, gid)).get_result(self).await)
    }

    async fn identity(&mut self, schema: &str) -> Result<DatabaseId, Fault> {
        sql::database_id(sql_query(sql::meta(schema)).load(self).await)
    }

    async fn records(&mut self, query: String) -> QueryResult<Vec<RecordRow>> {
        sql_query(query).load(self).await
    }

    async fn change(&mut self, statement: String) -> QueryResult<usize> {
        records::change(self, statement).await
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

    async fn fate(&mut self, transaction: i64) -> QueryResult<Option<Outcome>> {
        end::fate(self, transaction).await
    }

    async fn install(&mut self) -> QueryResult<()> {
        records::install(self).await
    }
}
