//! What MySQL and MariaDB say when they give a transaction up for the sake of others.
//!
//! diesel-async passes on no number of an error, and its message is in the language of the session. The server keeps the
//! number until the next statement, and is asked for it.

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::{AsyncMysqlConnection, SimpleAsyncConnection as _};

/// `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK`.
const CONFLICTS: &str = "1205, 1213";

/// The greatest number: a sum with it is an error, which repeats it in every language.
const TOO_MUCH: &str = "18446744073709551615";

/// Whether the statement that just failed might get through if its transaction ran again.
///
/// Sent as text: to prepare a statement is a statement, and clears what it asks for. Neither `GET DIAGNOSTICS` nor `SET`
/// does, so that the application can still ask about its own statement.
pub(super) async fn is_conflict(connection: &mut AsyncMysqlConnection, error: &Error) -> bool {
    // What has a kind of its own is another error, or none of the server's.
    if !matches!(error, Error::DatabaseError(DatabaseErrorKind::Unknown, _)) {
        return false;
    }
    let asked = format!(
        "GET DIAGNOSTICS CONDITION 1 @diesel_binds_error = MYSQL_ERRNO; \
         SET @diesel_binds_error = IF(@diesel_binds_error IN ({CONFLICTS}), {TOO_MUCH} + @diesel_binds_error, 0)"
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
