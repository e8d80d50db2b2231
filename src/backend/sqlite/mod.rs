//! SQLite: units are immediate transactions with a savepoint as marker. Nothing can be prepared here, so a SQLite bind
//! is the holder of the units that it writes in.
//!
//! Everything runs in one closure on the connection's own thread. While a statement runs, the wrapper must not be used
//! from outside: it blocks, or panics.

// Files, each of which imports only from those before it: `connection_number`, `pragma`, `attach`, `begin`, `clean`,
// `inspect`, `lineage`, `sandbox`, `tables`, `identity`, `probe`, `outer`, `recovery`, `unit`, `connection_thread`.

mod attach;
mod begin;
mod clean;
mod connection_number;
mod connection_thread;
mod identity;
mod inspect;
mod lineage;
mod outer;
mod pragma;
mod probe;
mod recovery;
#[cfg(feature = "testing")]
mod sandbox;
mod tables;
mod unit;

use diesel::query_dsl::methods::ExecuteDsl;
use diesel::{QueryResult, SqliteConnection};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures_util::future::BoxFuture;

pub use self::connection_thread::ConnectionThread;
use crate::backend::{Backend, Clock, Dialect, InsertRows, Server, Terms, internals};
use crate::tls::TlsSetting;

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
    const IS_FILE: bool = true;
    const CAN_PREPARE: bool = false;
    /// `true`: a pragma may be ignored within a transaction.
    const IGNORES_SETTINGS: bool = true;

    async fn inspect(&mut self) -> QueryResult<Server> {
        self.spawn_blocking(|connection| {
            let mut server = pragma::patiently(connection, inspect::inspect)?;
            // Read with the connection's own `busy_timeout`.
            server.session.fresh = clean::state(connection).ok();
            Ok(server)
        })
        .await
    }

    async fn remarks(&mut self) -> QueryResult<Vec<String>> {
        self.spawn_blocking(inspect::remarks).await
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

    fn cancel(&mut self, _: Option<&TlsSetting>) -> Option<BoxFuture<'static, ()>> {
        None
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
