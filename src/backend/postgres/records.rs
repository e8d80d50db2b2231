//! Writing the records of units, in transactions that wait briefly and are durable despite the settings of the
//! connection.

use diesel::sql_types::Text;
use diesel::{QueryResult, sql_query};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::{Backend, sql};
use crate::commit::Outcome;
use crate::gid::Gid;

/// Begins such a transaction.
const DURABLY: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL lock_timeout = '1s'; \
                       SET LOCAL synchronous_commit = on";

/// Writes a message to the WAL that nothing reads, if commits wait for a standby. A transaction that has written
/// nothing does not wait, even if it has an id.
pub(super) async fn barrier(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    let message = format!(
        "{DURABLY}; SELECT pg_catalog.pg_logical_emit_message(true, 'diesel_binds', '') \
         WHERE pg_catalog.current_setting('synchronous_standby_names') <> ''; COMMIT"
    );
    let confirmed = connection.batch_execute(&message).await;
    if confirmed.is_err() {
        connection.batch_execute("ROLLBACK").await?;
    }
    confirmed
}

/// Inserts a fence: a row under the key of the unit, which excludes a late decision.
pub(super) async fn insert_fence(connection: &mut AsyncPgConnection, row: &str) -> QueryResult<()> {
    let insert = format!(
        "{DURABLY}; SET LOCAL statement_timeout = '20s'; INSERT {row} ON CONFLICT DO NOTHING; COMMIT"
    );
    let inserted = connection.batch_execute(&insert).await;
    if inserted.is_err() {
        connection.batch_execute("ROLLBACK").await?;
    }
    inserted
}

/// Runs one statement.
pub(super) async fn execute_durably(
    connection: &mut AsyncPgConnection,
    statement: String,
) -> QueryResult<usize> {
    connection.batch_execute(DURABLY).await?;
    let changed = sql_query(statement).execute(connection).await;
    end(connection, changed).await
}

/// Records a forced outcome.
pub(super) async fn force(
    connection: &mut AsyncPgConnection,
    schema: &str,
    gid: &Gid,
    outcome: Outcome,
    reason: &str,
) -> QueryResult<()> {
    let row = sql::force_row(schema, gid, outcome, "$1");
    let insert = sql_query(format!("INSERT {row} ON CONFLICT DO NOTHING"));
    connection.batch_execute(DURABLY).await?;
    let inserted = insert.bind::<Text, _>(reason).execute(connection).await;
    end(connection, inserted).await.map(drop)
}

/// Creates the tables of the protocol.
pub(super) async fn install(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    // `IF NOT EXISTS` does not keep two sessions from creating the same table at once; the lock does.
    let message = format!(
        "BEGIN; SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtext('diesel_binds')); {}; COMMIT",
        Backend::Postgres.protocol_migration().up
    );
    let result = connection.batch_execute(&message).await;
    if result.is_err() {
        connection.batch_execute("ROLLBACK").await?;
    }
    result
}

async fn end(connection: &mut AsyncPgConnection, done: QueryResult<usize>) -> QueryResult<usize> {
    let end = if done.is_ok() { "COMMIT" } else { "ROLLBACK" };
    connection.batch_execute(end).await?;
    done
}
