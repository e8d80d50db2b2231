//! Reading one value of a connection, and its limit for waiting for locks.

use diesel::connection::SimpleConnection as _;
use diesel::sql_types::{BigInt, Text};
use diesel::{
    QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection, define_sql_function,
    sql_query,
};

define_sql_function! {
    fn total_changes() -> BigInt;
}

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

/// Returns the limit for waiting for locks. The pragma itself waits for none; a `SELECT` from it would read the file.
pub(super) fn busy_timeout(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let BusyTimeout { timeout } = sql_query("PRAGMA busy_timeout").get_result(connection)?;
    Ok(timeout)
}

#[derive(QueryableByName)]
struct Synchronous {
    #[diesel(sql_type = BigInt)]
    synchronous: i64,
}

/// Returns the number of the setting `synchronous` of the main file.
pub(super) fn synchronous(connection: &mut SqliteConnection) -> QueryResult<i64> {
    let row: Synchronous = sql_query("PRAGMA main.synchronous").get_result(connection)?;
    Ok(row.synchronous)
}

/// Runs queries that read the file outside of a transaction, on a connection that may not wait for locks.
pub(super) fn patiently<T>(
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

/// Returns the number of rows that the connection changed since it was opened. Each unit runs this query, so it is
/// typed: Diesel keeps it prepared.
pub(super) fn written(connection: &mut SqliteConnection) -> QueryResult<i64> {
    diesel::select(total_changes()).get_result(connection)
}

pub(super) fn text(connection: &mut SqliteConnection, query: &str) -> QueryResult<String> {
    let row: PragmaText = sql_query(query).get_result(connection)?;
    Ok(row.value)
}

#[cfg(feature = "testing")]
pub(super) fn texts(connection: &mut SqliteConnection, query: &str) -> QueryResult<Vec<String>> {
    let rows: Vec<PragmaText> = sql_query(query).load(connection)?;
    Ok(rows.into_iter().map(|row| row.value).collect())
}

pub(super) fn number(connection: &mut SqliteConnection, query: &str) -> QueryResult<i64> {
    let row: Pragma = sql_query(query).get_result(connection)?;
    Ok(row.value)
}
