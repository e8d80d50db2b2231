//! SQLite: units are immediate transactions with a savepoint as marker. Nothing can be prepared here, so a SQLite bind
//! is the holder of the units that it writes in.
//!
//! Everything runs in one closure on the connection's own thread. While a statement runs, the wrapper must not be used
//! from outside: it blocks, or panics.

// Files, each of which imports only from those before it: `connection_number`, `pragma`, `attach`, `begin`, `clean`,
// `inspect`, `lineage`, `retry`, `sandbox`, `tables`, `probe`, `outer`, `end`, `records`, `connection_thread`.

mod attach;
mod begin;
mod clean;
mod connection_number;
mod connection_thread;
mod end;
mod inspect;
mod lineage;
mod outer;
mod pragma;
mod probe;
mod records;
mod retry;
#[cfg(feature = "testing")]
mod sandbox;
mod tables;

#[cfg(feature = "testing")]
use std::sync::Arc;

use diesel::connection::SimpleConnection as _;
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection, sql_query};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures_util::future::BoxFuture;

pub use self::connection_thread::ConnectionThread;
use crate::backend::tables::database_id;
use crate::backend::{
    Backend, Clock, Dialect, InsertRows, ListedBranch, LoneCommitFault, PriorState, RecordRow,
    SavepointStep, Server, Terms, TransactionState, Unseen, internals, sql,
};
#[cfg(feature = "testing")]
use crate::backend::{Enclosed, NotEnclosed, Open};
use crate::commit::{Asked, Decision, Fault, Identified, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// A connection to SQLite: Diesel-async's wrapper, on a thread of its own.
///
/// Pools of the plain `SyncConnectionWrapper<SqliteConnection>` are accepted as well. On a current-thread runtime, that
/// wrapper panics when the future of a running statement is dropped.
pub type AsyncSqliteConnection = SyncConnectionWrapper<SqliteConnection, ConnectionThread>;

/// The schema is named because temporary tables shadow those of the file.
const SCHEMA: &str = "main.";

/// Opens a file with settings under which a confirmed commit survives a crash, and a second writer waits for the first.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub(crate) async fn establish(url: &str) -> diesel::ConnectionResult<AsyncSqliteConnection> {
    use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};

    let mut connection = AsyncSqliteConnection::establish(url).await?;
    SyncConnectionWrapper::batch_execute(
        &mut connection,
        "PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL",
    )
    .await
    .map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

impl<S> Dialect for SyncConnectionWrapper<SqliteConnection, S>
where
    S: SpawnBlocking + Send + 'static,
{
    const BACKEND: Backend = Backend::Sqlite;
    /// `true`, because there is no network between the connection and the file.
    const NOTICES_CLOSE: bool = true;
    const STALE: &'static [&'static str] = &["database schema has changed"];
    const CLOCK: Clock = Clock {
        now: "CAST(strftime('%s', 'now') AS INTEGER)",
        at: "CAST(strftime('%s', at) AS INTEGER)",
    };
    // After `ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK)` or a full disk, later writes would commit by themselves.
    const ERRORS_END_TRANSACTIONS: bool = true;

    async fn inspect(&mut self) -> QueryResult<Server> {
        self.spawn_blocking(|connection| {
            let mut server = pragma::patiently(connection, inspect::inspect)?;
            // Read with the connection's own `busy_timeout`.
            server.session.fresh = clean::state(connection).ok();
            Ok(server)
        })
        .await
    }

    async fn begin(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| begin::begin(connection, &terms))
            .await
    }

    async fn begin_within_outer(&mut self, terms: &Terms) -> QueryResult<PriorState> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| outer::begin(connection, &terms))
            .await
    }

    async fn release(&mut self, terms: &Terms) -> Result<(), Fault> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| Ok(outer::release(connection, &terms)))
            .await
            .map_err(Fault::Lost)?
    }

    #[cfg(feature = "testing")]
    async fn enclose(
        self,
        terms: &Terms,
        open: Option<Arc<Open<Self>>>,
    ) -> Result<Enclosed<Self>, NotEnclosed> {
        sandbox::enclose(self, &terms.attached, open).await
    }

    #[cfg(feature = "testing")]
    async fn end_enclosure(&mut self, _: &Terms) -> Result<(), Fault> {
        // The copy is deleted as it is.
        Ok(())
    }

    async fn savepoint(&mut self, step: SavepointStep, depth: usize) -> QueryResult<()> {
        let step = sql::savepoint_step(step, depth);
        self.spawn_blocking(move |connection| connection.batch_execute(&step))
            .await
    }

    async fn verify(&mut self, terms: &Terms) -> Result<TransactionState, Fault> {
        let prior = terms.prior;
        self.spawn_blocking(move |connection| Ok(probe::verify(connection, &prior)))
            .await
            .map_err(Fault::Lost)?
    }

    async fn assign_connection_number(&mut self) -> QueryResult<Option<i64>> {
        self.spawn_blocking(|connection| connection_number::assign(connection).map(Some))
            .await
    }

    async fn connection_number(&mut self) -> QueryResult<Option<i64>> {
        self.spawn_blocking(|connection| Ok(connection_number::read(connection)))
            .await
    }

    async fn ping(&mut self, _: &Terms) -> QueryResult<()> {
        Ok(())
    }

    fn is_conflict(error: &diesel::result::Error) -> bool {
        retry::is_conflict(error)
    }

    async fn ask(&mut self, terms: &Terms) -> Result<Asked, Fault> {
        let prior = terms.prior;
        self.spawn_blocking(move |connection| probe::ask(connection, &prior))
            .await
            .map_err(Fault::Refused)
    }

    async fn identify(&mut self, terms: &Terms) -> Result<Identified, Fault> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| Ok(probe::identify(connection, &terms)))
            .await
            .map_err(Fault::Refused)?
    }

    async fn prepare(&mut self, _: &Terms, _: &Branch) -> Result<(), Fault> {
        unreachable!("a plan never prepares SQLite: `inspect` says that it cannot")
    }

    async fn commit(&mut self, terms: &Terms) -> Result<Option<i64>, LoneCommitFault> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| Ok(end::commit(connection, &terms)))
            .await
            .unwrap_or_else(|error| Err(Fault::Lost(error)))
            .map(|()| None)
            .map_err(|fault| LoneCommitFault {
                fault,
                transaction: None,
            })
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        let (terms, decision) = (terms.clone(), decision.clone());
        self.spawn_blocking(move |connection| Ok(end::decide(connection, &terms, &decision)))
            .await
            .map_err(Fault::Lost)?
    }

    async fn finish(&mut self, _: &Terms, _: &Branch, _: Outcome) -> QueryResult<()> {
        unreachable!("a plan never prepares SQLite: `inspect` says that it cannot")
    }

    async fn rollback(&mut self, terms: &Terms, unseen: Unseen) -> Result<(), Fault> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| Ok(end::roll_back(connection, &terms, unseen)))
            .await
            .map_err(Fault::Lost)?
    }

    async fn clean(&mut self, terms: &Terms) -> QueryResult<bool> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| clean::clean(connection, &terms))
            .await
    }

    async fn retire(&mut self) {
        // An abandoned statement may still run. This job waits until it is done.
        let drained = self
            .spawn_blocking(|connection| {
                internals::sqlite_status(connection).set_in_error();
                Ok(())
            })
            .await;
        if let Err(error) = drained {
            tracing::debug!(%error, "a SQLite connection was lost before it was closed");
        }
    }

    fn cancel(&mut self) -> Option<BoxFuture<'static, ()>> {
        None
    }

    async fn recovery_settings(&mut self) -> QueryResult<()> {
        self.spawn_blocking(|connection| {
            connection.batch_execute("PRAGMA busy_timeout = 1000; PRAGMA synchronous = FULL")
        })
        .await
    }

    async fn insert_fence(&mut self, row: String) -> QueryResult<()> {
        self.spawn_blocking(move |connection| records::insert_fence(connection, &row))
            .await
    }

    async fn is_listed(&mut self, _: &Branch) -> QueryResult<bool> {
        Ok(false)
    }

    async fn finish_listed(&mut self, _: &Branch, _: Outcome) -> QueryResult<()> {
        Ok(())
    }

    async fn branches(&mut self, _: &str) -> QueryResult<Vec<ListedBranch>> {
        Ok(Vec::new())
    }

    async fn recorded(&mut self, schema: &str, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        let (schema, gid) = (schema.to_owned(), gid.clone());
        self.spawn_blocking(move |connection| Ok(records::recorded(connection, &schema, &gid)))
            .await
            .map_err(Fault::Lost)?
    }

    async fn database_id(&mut self, _: &str) -> Result<DatabaseId, Fault> {
        let meta = tables::meta();
        self.spawn_blocking(move |connection| {
            pragma::patiently(connection, |connection| {
                let id = database_id(sql_query(meta).load(connection));
                Ok(id.and_then(|id| lineage::verify(connection).map(|_| id)))
            })
        })
        .await
        .map_err(Fault::Lost)?
    }

    async fn forced(&mut self, _: &str, _: UnitId) -> QueryResult<Option<Outcome>> {
        Ok(None)
    }

    async fn record_force(&mut self, _: &str, _: &Gid, _: Outcome, _: &str) -> QueryResult<()> {
        unreachable!("SQLite lists no branch that anybody could force")
    }

    async fn load_records(&mut self, query: String) -> QueryResult<Vec<RecordRow>> {
        self.spawn_blocking(move |connection| sql_query(query).load(connection))
            .await
    }

    async fn execute_durably(&mut self, statement: String) -> QueryResult<usize> {
        self.spawn_blocking(move |connection| sql_query(statement).execute(connection))
            .await
    }

    async fn adopt(&mut self, _: &str, id: Option<DatabaseId>) -> QueryResult<()> {
        self.spawn_blocking(move |connection| lineage::adopt(connection, id))
            .await
    }

    async fn install(&mut self) -> QueryResult<()> {
        self.spawn_blocking(records::install).await
    }
}

/// Inserts through Diesel: one by one in a savepoint if columns are left out, and otherwise in one statement.
impl<Q, S> InsertRows<Q> for SyncConnectionWrapper<SqliteConnection, S>
where
    Q: ExecuteDsl<SqliteConnection> + Send + 'static,
    S: SpawnBlocking + Send + 'static,
{
    async fn insert_rows(&mut self, insert: Q) -> QueryResult<usize> {
        self.spawn_blocking(move |connection| ExecuteDsl::execute(insert, connection))
            .await
    }
}
