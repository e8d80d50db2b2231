//! The number of the last error, which diesel-async does not pass on. The server keeps it until the next statement.

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};

/// The conflicts after which a unit may be run again: `ER_CHECKREAD` (MariaDB), `ER_LOCK_WAIT_TIMEOUT`, `ER_LOCK_DEADLOCK`
/// and `ER_LOCK_NOWAIT` (MySQL).
pub(super) const CONFLICTS: &str = "1020, 1205, 1213, 3572";

/// The errors of a query on a table that is not there: `ER_NO_DB_ERROR` and `ER_NO_SUCH_TABLE`.
pub(super) const NO_TABLE: &str = "1046, 1146";

/// The greatest number. Adding to it is an error, whose message contains the number in every language.
const TOO_MUCH: &str = "18446744073709551615";

/// Asks the server whether the error of the last statement has one of these numbers.
///
/// Sent as text: preparing a statement would clear the error that it reads. `GET DIAGNOSTICS` does not clear it. `SET`
/// does so on MySQL, and on MariaDB the application can still read the error of its own statement.
pub(super) async fn is_one_of(
    connection: &mut AsyncMysqlConnection,
    error: &Error,
    numbers: &str,
) -> bool {
    // An error with a kind of its own is another error, or does not come from the server.
    if !matches!(error, Error::DatabaseError(DatabaseErrorKind::Unknown, _)) {
        return false;
    }
    let asked = format!(
        "GET DIAGNOSTICS CONDITION 1 @diesel_binds_error = MYSQL_ERRNO; \
         SET @diesel_binds_error = IF(@diesel_binds_error IN ({numbers}), {TOO_MUCH} + @diesel_binds_error, 0)"
    );
    match connection.batch_execute(&asked).await {
        Ok(()) => false,
        Err(Error::DatabaseError(_, information)) if information.message().contains(TOO_MUCH) => {
            true
        }
        Err(error) => {
            tracing::debug!(%error, "MySQL could not be asked for the number of an error");
            false
        }
    }
}
