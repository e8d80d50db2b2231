//! The number that identifies a connection of SQLite.
//!
//! A file stores nothing about its connections, and a transaction on one looks like that on another. But a connection
//! can have functions of its own, which no roll-back removes. One of ours returns a number that no other connection
//! has.

use diesel::{QueryResult, SqliteConnection, define_sql_function};
use uuid::Uuid;

define_sql_function! {
    fn diesel_binds_connection() -> BigInt;
}

/// The name of the function, which the comparison of connections leaves out.
pub(super) const FUNCTION: &str = "diesel_binds_connection";

/// Returns the number of a connection, and gives it one first if it has none.
pub(super) fn assign(connection: &mut SqliteConnection) -> QueryResult<i64> {
    if let Some(number) = read(connection) {
        return Ok(number);
    }
    // Half of the UUID is enough, and fits into a column of a query.
    let (number, _) = Uuid::new_v4().as_u64_pair();
    let number = number.cast_signed();
    diesel_binds_connection_utils::register_impl(connection, move || number)?;
    Ok(number)
}

/// Returns the number of a connection, if it has one.
pub(super) fn read(connection: &mut SqliteConnection) -> Option<i64> {
    use diesel::RunQueryDsl as _;

    diesel::select(diesel_binds_connection())
        .get_result(connection)
        .ok()
}
