//! SQLite: units are immediate transactions with a savepoint as marker. Nothing can be prepared here, so a SQLite bind
//! is the holder of the units that it writes in.
//!
//! Everything runs in one closure on the connection's own thread: while a statement is in flight the wrapper must not
//! be touched from outside (it blocks, or panics).

mod attach;
mod join;
mod retry;
mod worker;

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _};
use diesel::query_dsl::methods::ExecuteDsl;
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use futures_util::future::BoxFuture;

pub use self::worker::Worker;
use crate::backend::settings::milliseconds;
use crate::backend::{
    AloneFault, Attached, Backend, Begun, Clock, Dialect, Found, InsertRows, RecordRow,
    SavepointStep, Server, Terms, internals, sql,
};
use crate::commit::{Asked, Decision, Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// A connection to SQLite: Diesel-async's wrapper, on a thread of its own.
///
/// Pools of the plain `SyncConnectionWrapper<SqliteConnection>` are accepted as well; on a current-thread runtime that
/// one panics when the future of a running statement is dropped.
pub type AsyncSqliteConnection = SyncConnectionWrapper<SqliteConnection, Worker>;

/// Temporary tables shadow those of the file, unless they are named in full.
const SCHEMA: &str = "main.";

#[derive(QueryableByName)]
struct Pragma {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

#[derive(QueryableByName)]
struct PragmaText {
    #[diesel(sql_type = Text)]
    value: String,
}

#[derive(QueryableByName)]
struct BusyTimeout {
    #[diesel(sql_type = BigInt)]
    timeout: i64,
}

/// Opens a file such that a confirmed commit survives a crash, and a second writer waits for the first.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
pub(crate) async fn establish(url: &str) -> diesel::ConnectionResult<AsyncSqliteConnection> {
    use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};

    let path = url.strip_prefix("sqlite://").unwrap_or(url);
    let mut connection = AsyncSqliteConnection::establish(path).await?;
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
    const CLOCK: Clock = Clock {
        now: "CAST(strftime('%s', 'now') AS INTEGER)",
        at: "CAST(strftime('%s', at) AS INTEGER)",
    };
    // `ON CONFLICT ROLLBACK`, `RAISE(ROLLBACK)`, a full disk: what is written afterwards would commit by itself.
    const ERRORS_END_TRANSACTIONS: bool = true;

    async fn inspect(&mut self) -> QueryResult<Server> {
        self.spawn_blocking(|connection| patiently(connection, inspect))
            .await
    }

    async fn begin(&mut self, terms: &Terms) -> QueryResult<Begun> {
        // A deferred transaction cannot wait for a lock when it turns from reading to writing, whatever the timeout.
        let begin = if terms.read_only {
            "BEGIN DEFERRED"
        } else {
            "BEGIN IMMEDIATE"
        };
        let begin = format!("{}{begin}", sql::tag(terms));
        let after = format!(
            "SAVEPOINT {}{}",
            sql::MARKER,
            sql::open_savepoints(terms.savepoints)
        );
        let lock_timeout = i64::from(milliseconds(terms.lock_timeout));
        let asked = terms.settings.lock_timeout.map(milliseconds).map(i64::from);
        let time_left = terms.time_left.map(milliseconds).map(i64::from);
        let read_only = terms.read_only;
        let attached = terms.attached.clone();
        self.spawn_blocking(move |connection| {
            let before = busy_timeout(connection)?;
            let wanted = match asked {
                Some(limit) => limit,
                None if before == 0 => lock_timeout,
                None => before,
            };
            let limit = time_left.map_or(wanted, |left| wanted.min(left));
            if limit != before {
                connection.batch_execute(&format!("PRAGMA busy_timeout = {limit}"))?;
            }
            attach::attach(connection, &attached)?;
            if read_only {
                connection.batch_execute("PRAGMA query_only = ON")?;
            }
            AnsiTransactionManager::begin_transaction_sql(connection, &begin)?;
            connection.batch_execute(&after)?;
            Ok(Begun {
                depth: 1,
                written: written(connection)?,
                busy_timeout: (limit != before).then_some(before),
            })
        })
        .await
    }

    async fn join(&mut self, terms: &Terms) -> QueryResult<Begun> {
        let terms = terms.clone();
        self.spawn_blocking(move |connection| join::begin(connection, &terms))
            .await
    }

    async fn release(&mut self, terms: &Terms) -> Result<(), Fault> {
        let read_only = terms.read_only;
        self.spawn_blocking(move |connection| Ok(join::release(connection, read_only)))
            .await
            .map_err(Fault::Lost)?
    }

    async fn savepoint(&mut self, step: SavepointStep, depth: usize) -> QueryResult<()> {
        let step = sql::savepoint_step(step, depth);
        self.spawn_blocking(move |connection| connection.batch_execute(&step))
            .await
    }

    async fn verify(&mut self, terms: &Terms) -> Result<(), Fault> {
        let begun = terms.begun;
        self.spawn_blocking(move |connection| {
            let status = internals::sqlite_status(connection);
            if let Err(fault) = internals::verify_depth(status, &begun) {
                return Ok(Err(fault));
            }
            if !is_in_transaction(connection)? {
                return Ok(Err(Fault::Ended(diesel::result::Error::NotInTransaction)));
            }
            Ok(Ok(()))
        })
        .await
        .map_err(Fault::Lost)?
    }

    async fn answer(&mut self, _: &Terms) -> QueryResult<()> {
        Ok(())
    }

    fn is_conflict(error: &diesel::result::Error) -> bool {
        retry::is_conflict(error)
    }

    async fn ask(&mut self, terms: &Terms) -> Result<Asked, Fault> {
        let before = terms.begun.written;
        self.spawn_blocking(move |connection| {
            Ok(Asked {
                wrote: written(connection)? != before,
                serializable: false,
            })
        })
        .await
        .map_err(Fault::Refused)
    }

    async fn identify(&mut self, terms: &Terms) -> Result<DatabaseId, Fault> {
        let attached = terms.attached.clone();
        let allowed = terms.allow_not_durable;
        self.spawn_blocking(move |connection| {
            if !allowed && let Some(setting) = not_durable(connection, &attached)? {
                return Ok(Err(Fault::NotDurable { setting }));
            }
            Ok(sql::database_id(
                sql_query(sql::meta(SCHEMA)).load(connection),
            ))
        })
        .await
        .map_err(Fault::Refused)?
    }

    async fn prepare(&mut self, _: &Terms, _: &Branch) -> Result<(), Fault> {
        unreachable!("a plan never prepares SQLite: `inspect` says that it cannot")
    }

    async fn commit(&mut self, terms: &Terms) -> Result<(), AloneFault> {
        let message = format!("RELEASE {}; COMMIT", sql::MARKER);
        finish_message(self, terms, message)
            .await
            .map_err(|fault| AloneFault {
                fault,
                transaction: None,
            })
    }

    async fn decide(&mut self, terms: &Terms, decision: &Decision) -> Result<(), Fault> {
        let message = format!(
            "RELEASE {}; {}; COMMIT",
            sql::MARKER,
            sql::insert_decision(SCHEMA, decision, "true")
        );
        finish_message(self, terms, message).await
    }

    async fn finish(&mut self, _: &Terms, _: &Branch, _: Outcome) -> QueryResult<()> {
        unreachable!("a plan never prepares SQLite: `inspect` says that it cannot")
    }

    async fn rollback(&mut self, terms: &Terms) -> QueryResult<()> {
        if terms.joined {
            let depth = terms.begun.depth;
            return self
                .spawn_blocking(move |connection| join::undo(connection, depth))
                .await;
        }
        let restore = Restore::of(terms);
        self.spawn_blocking(move |connection| roll_back(connection, restore))
            .await
    }

    async fn retire(&mut self) {
        // A statement that nobody waits for any more may still run. This waits its turn.
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

    async fn keep_out(&mut self, schema: &str, gid: &Gid) -> QueryResult<()> {
        let insert = format!("INSERT OR IGNORE {}", sql::fence_row(schema, gid));
        self.spawn_blocking(move |connection| connection.batch_execute(&insert))
            .await
    }

    async fn lists(&mut self, _: &Branch) -> QueryResult<bool> {
        Ok(false)
    }

    async fn finish_listed(&mut self, _: &Branch, _: Outcome) -> QueryResult<()> {
        Ok(())
    }

    async fn branches(&mut self, _: &str) -> QueryResult<Vec<Found>> {
        Ok(Vec::new())
    }

    async fn recorded(&mut self, schema: &str, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        let (schema, gid) = (schema.to_owned(), gid.clone());
        self.spawn_blocking(move |connection| {
            let meta = sql_query(sql::meta(&schema)).load(connection);
            Ok(sql::verify_holder(meta, &gid).and_then(|()| {
                sql::recorded(sql_query(sql::outcome(&schema, &gid)).get_result(connection))
            }))
        })
        .await
        .map_err(Fault::Lost)?
    }

    async fn identity(&mut self, schema: &str) -> Result<DatabaseId, Fault> {
        let meta = sql::meta(schema);
        self.spawn_blocking(move |connection| {
            Ok(sql::database_id(sql_query(meta).load(connection)))
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

    async fn records(&mut self, query: String) -> QueryResult<Vec<RecordRow>> {
        self.spawn_blocking(move |connection| sql_query(query).load(connection))
            .await
    }

    async fn change(&mut self, statement: String) -> QueryResult<usize> {
        self.spawn_blocking(move |connection| sql_query(statement).execute(connection))
            .await
    }

    async fn install(&mut self) -> QueryResult<()> {
        self.spawn_blocking(|connection| {
            // Several processes may install at once.
            patiently(connection, |connection| {
                connection.immediate_transaction(|connection| {
                    connection.batch_execute(include_str!(
                        "../../../migrations/sqlite/2026-01-01-000000_diesel_binds/up.sql"
                    ))
                })
            })
        })
        .await
    }
}

fn inspect(connection: &mut SqliteConnection) -> QueryResult<Server> {
    let version = text(connection, "SELECT sqlite_version() AS value")?;
    let file = text(
        connection,
        "SELECT file AS value FROM pragma_database_list WHERE name = 'main'",
    )?;
    let name = std::path::Path::new(&file).file_name();
    Ok(Server {
        system: "sqlite",
        database: name.unwrap_or_default().to_string_lossy().into_owned(),
        version,
        schema: SCHEMA.into(),
        cannot_prepare: Some("SQLite cannot prepare a transaction".into()),
        prepared_slots: None,
        not_durable: not_durable(connection, &[])?,
        identity: file,
        remarks: Vec::new(),
    })
}

/// Diesel inserts the rows one by one in a savepoint if columns are left out, and otherwise in one statement.
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

/// Sends the last message of a transaction. A `COMMIT` that fails leaves the transaction open.
async fn finish_message<S>(
    connection: &mut SyncConnectionWrapper<SqliteConnection, S>,
    terms: &Terms,
    message: String,
) -> Result<(), Fault>
where
    S: SpawnBlocking + Send + 'static,
{
    let restore = Restore::of(terms);
    connection
        .spawn_blocking(move |connection| {
            let Err(error) = connection.batch_execute(&message) else {
                internals::leave(internals::sqlite_status(connection));
                // It is committed. A connection that keeps a setting of the unit is thrown away, no more.
                if let Err(error) = restore.apply(connection) {
                    tracing::debug!(%error, "a setting of SQLite could not be put back");
                    internals::sqlite_status(connection).set_in_error();
                }
                return Ok(Ok(()));
            };
            let ended = mentions_marker(&error);
            let rolled_back = roll_back(connection, restore);
            Ok(Err(match rolled_back {
                _ if ended => Fault::Ended(error),
                Ok(()) => Fault::Refused(error),
                Err(_) => Fault::Lost(error),
            }))
        })
        .await
        .map_err(Fault::Lost)?
}

fn roll_back(connection: &mut SqliteConnection, restore: Restore) -> QueryResult<()> {
    let result = connection.batch_execute("ROLLBACK");
    restore.apply(connection)?;
    result?;
    internals::leave(internals::sqlite_status(connection));
    Ok(())
}

/// Whether a transaction is open, whoever began it.
fn is_in_transaction(connection: &mut SqliteConnection) -> QueryResult<bool> {
    // Within a transaction this fails, and changes nothing.
    if connection.batch_execute("BEGIN").is_err() {
        return Ok(true);
    }
    connection.batch_execute("ROLLBACK")?;
    Ok(false)
}

/// Settings that a unit changed on the connection, which must not reach its next user.
#[derive(Clone, Copy)]
struct Restore {
    query_only: bool,
    busy_timeout: Option<i64>,
}

impl Restore {
    fn of(terms: &Terms) -> Self {
        Self {
            query_only: terms.read_only,
            busy_timeout: terms.begun.busy_timeout,
        }
    }

    fn apply(self, connection: &mut SqliteConnection) -> QueryResult<()> {
        if self.query_only {
            connection.batch_execute("PRAGMA query_only = OFF")?;
        }
        if let Some(before) = self.busy_timeout {
            connection.batch_execute(&format!("PRAGMA busy_timeout = {before}"))?;
        }
        Ok(())
    }
}

/// The name of the marker stands in the error.
fn mentions_marker(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().ends_with(&format!("no such savepoint: {}", sql::MARKER)))
}

/// The setting under which a crash forgets a commit that was confirmed, if there is one.
fn not_durable(
    connection: &mut SqliteConnection,
    attached: &[Attached],
) -> QueryResult<Option<String>> {
    let schemas = std::iter::once("main").chain(attached.iter().map(|file| file.key));
    for schema in schemas {
        let file = text(
            connection,
            &format!("SELECT file AS value FROM pragma_database_list WHERE name = '{schema}'"),
        )?;
        if file.is_empty() {
            return Ok(Some(format!("the database `{schema}` has no file")));
        }
        let synchronous = number(
            connection,
            &format!("SELECT synchronous AS value FROM pragma_synchronous('{schema}')"),
        )?;
        if synchronous < 2 {
            return Ok(Some(format!("`{schema}.synchronous` is below FULL")));
        }
        let journal = text(
            connection,
            &format!("SELECT journal_mode AS value FROM pragma_journal_mode('{schema}')"),
        )?;
        if matches!(journal.as_str(), "off" | "memory") {
            return Ok(Some(format!("`{schema}.journal_mode` is `{journal}`")));
        }
    }
    Ok(None)
}

/// How long the connection waits for locks. The pragma itself waits for none; a `SELECT` from it would read the file.
fn busy_timeout(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let BusyTimeout { timeout } = sql_query("PRAGMA busy_timeout").get_result(connection)?;
    Ok(timeout)
}

/// Runs what reads the file outside of a transaction, on a connection that may not wait for locks.
fn patiently<T>(
    connection: &mut SqliteConnection,
    work: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
) -> QueryResult<T> {
    if busy_timeout(connection)? != 0 {
        return work(connection);
    }
    connection.batch_execute("PRAGMA busy_timeout = 5000")?;
    let result = work(connection);
    connection.batch_execute("PRAGMA busy_timeout = 0")?;
    result
}

/// Rows that the connection changed since it was opened.
fn written(connection: &mut SqliteConnection) -> QueryResult<i64> {
    number(connection, "SELECT total_changes() AS value")
}

fn text(connection: &mut SqliteConnection, query: &str) -> QueryResult<String> {
    let row: PragmaText = sql_query(query).get_result(connection)?;
    Ok(row.value)
}

fn number(connection: &mut SqliteConnection, query: &str) -> QueryResult<i64> {
    let row: Pragma = sql_query(query).get_result(connection)?;
    Ok(row.value)
}
