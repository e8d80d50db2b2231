//! Which connection of SQLite this is.
//!
//! The file knows nothing of its connections, and a transaction on one looks like that on another. But a connection can have
//! functions of its own, which no transaction takes back: one of ours says a number that no other connection has.

use diesel::{QueryResult, SqliteConnection, define_sql_function};
use uuid::Uuid;

define_sql_function! {
    fn diesel_binds_connection() -> BigInt;
}

/// Its name, for whoever compares the functions of connections.
pub(super) const FUNCTION: &str = "diesel_binds_connection";

/// The number of a connection, which has one from now on.
pub(super) fn mark(connection: &mut SqliteConnection) -> QueryResult<i64> {
    if let Some(number) = number(connection) {
        return Ok(number);
    }
    // Half of it is enough, and what a column of a query can hold.
    let (number, _) = Uuid::new_v4().as_u64_pair();
    let number = number.cast_signed();
    diesel_binds_connection_utils::register_impl(connection, move || number)?;
    Ok(number)
}

/// The number of a connection, if it has one.
pub(super) fn number(connection: &mut SqliteConnection) -> Option<i64> {
    use diesel::RunQueryDsl as _;

    diesel::select(diesel_binds_connection())
        .get_result(connection)
        .ok()
}
