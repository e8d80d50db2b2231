//! Reading one value of a connection, and its limit for waiting for locks.

use std::marker::PhantomData;

use diesel::connection::SimpleConnection as _;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::Sqlite;
use diesel::{
    QueryResult, QueryableByName, RunQueryDsl, SqliteConnection, define_sql_function, sql_query,
};

define_sql_function! {
    fn total_changes() -> BigInt;
}

/// A query for columns of the SQL type `T`. Diesel keeps it prepared by its text, so texts must not differ from unit to
/// unit.
pub(super) struct Kept<'a, T> {
    query: &'a str,
    /// The values of the question marks in the query.
    values: &'a [&'a str],
    columns: PhantomData<T>,
}

impl<T> QueryId for Kept<'_, T> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<T> Query for Kept<'_, T> {
    type SqlType = T;
}

impl<T> QueryFragment<Sqlite> for Kept<'_, T> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        let mut parts = self.query.split('?');
        out.push_sql(parts.next().unwrap_or_default());
        for (part, value) in parts.zip(self.values) {
            out.push_bind_param::<Text, str>(value)?;
            out.push_sql(part);
        }
        Ok(())
    }
}

impl<T> RunQueryDsl<SqliteConnection> for Kept<'_, T> {}

/// Returns a query that is kept prepared, with a text for each question mark in it.
pub(super) fn kept<'a, T>(query: &'a str, values: &'a [&'a str]) -> Kept<'a, T> {
    Kept {
        query,
        values,
        columns: PhantomData,
    }
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

/// Returns the first row of a query that is kept prepared.
pub(super) fn text(connection: &mut SqliteConnection, query: &str) -> QueryResult<String> {
    kept::<Text>(query, &[]).get_result(connection)
}

/// Returns all rows of a query that is kept prepared.
#[cfg(feature = "testing")]
pub(super) fn texts(connection: &mut SqliteConnection, query: &str) -> QueryResult<Vec<String>> {
    kept::<Text>(query, &[]).load(connection)
}

/// Returns the first row of a query that is kept prepared.
pub(super) fn number(connection: &mut SqliteConnection, query: &str) -> QueryResult<i64> {
    kept::<BigInt>(query, &[]).get_result(connection)
}
