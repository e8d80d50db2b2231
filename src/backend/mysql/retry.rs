//! What MySQL and MariaDB say when they give a transaction up for the sake of others.
//!
//! diesel-async passes on no number of an error, and its message is in the language of the session. The server keeps the
//! number until the next statement, and is asked for it.

use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Nullable};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

/// `ER_LOCK_WAIT_TIMEOUT` and `ER_LOCK_DEADLOCK`.
const CONFLICTS: [i64; 2] = [1205, 1213];

#[derive(QueryableByName)]
struct Diagnosis {
    #[diesel(sql_type = Nullable<BigInt>)]
    number: Option<i64>,
}

/// Whether the statement that just failed might get through if its transaction ran again.
pub(super) async fn is_conflict(connection: &mut AsyncMysqlConnection, error: &Error) -> bool {
    // What has a kind of its own is another error, or none of the server's.
    if !matches!(error, Error::DatabaseError(DatabaseErrorKind::Unknown, _)) {
        return false;
    }
    match ask(connection).await {
        Ok(number) => number.is_some_and(|number| CONFLICTS.contains(&number)),
        Err(error) => {
            tracing::debug!(%error, "MySQL could not be asked for the number of an error");
            false
        }
    }
}

/// The number of the last error. Sent as text: to prepare a statement is a statement, and clears what it asks for.
async fn ask(connection: &mut AsyncMysqlConnection) -> QueryResult<Option<i64>> {
    connection
        .batch_execute("GET DIAGNOSTICS CONDITION 1 @diesel_binds_error = MYSQL_ERRNO")
        .await?;
    let diagnosis: Diagnosis = sql_query("SELECT CAST(@diesel_binds_error AS SIGNED) AS number")
        .get_result(connection)
        .await?;
    Ok(diagnosis.number)
}
