//! State that statements of an application may leave on a connection of MariaDB.
//!
//! Only a reset of the connection would remove all of it, which diesel-async does not offer. Locks by name are
//! released, and a clock that was set goes on. For everything else, the connection is compared with a fresh one, and
//! closed if it differs.

use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _, SimpleAsyncConnection as _};

use crate::backend::Terms;
use crate::backend::mysql::writes::fail_unless;

/// The state of a connection: its database and role, its variables, and the user's variables. Some state is listed
/// nowhere: a temporary table, a statement by name, a table lock, an open handler. For these, the commands that create
/// them are counted.
///
/// Variables that every statement sets are left out. `pseudo_thread_id` changes `CONNECTION_ID()`, which is then not the
/// id of the process that runs this query.
const STATE: &str = "CONCAT_WS(' ', COALESCE(DATABASE(), ''), COALESCE(CURRENT_ROLE(), ''), \
     (SELECT BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('=', VARIABLE_NAME, SESSION_VALUE)), 16), 16, 10) AS UNSIGNED)) \
     FROM information_schema.SYSTEM_VARIABLES WHERE SESSION_VALUE IS NOT NULL AND VARIABLE_NAME NOT IN \
     ('TIMESTAMP', 'RAND_SEED1', 'RAND_SEED2', 'LAST_INSERT_ID', 'IDENTITY', 'ERROR_COUNT', 'WARNING_COUNT', \
     'PSEUDO_THREAD_ID', 'LAST_GTID', 'IN_TRANSACTION')), \
     (SELECT BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('=', VARIABLE_NAME, VARIABLE_VALUE)), 16), 16, 10) AS UNSIGNED)) \
     FROM information_schema.USER_VARIABLES \
     WHERE VARIABLE_VALUE IS NOT NULL AND VARIABLE_NAME NOT LIKE 'diesel\\_binds\\_%'), \
     (SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = CONNECTION_ID() AND INFO LIKE '%COM\\_BACKUP\\_LOCK%'), \
     (SELECT SUM(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME IN \
     ('COM_CREATE_TEMPORARY_TABLE', 'COM_PREPARE_SQL', 'COM_LOCK_TABLES', 'COM_HA_OPEN', 'COM_CHANGE_DB', \
     'COM_FLUSH', 'COM_BACKUP', 'COM_BACKUP_LOCK')))";

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = Text)]
    state: String,
}

/// Reads the state of the connection.
pub(super) async fn state(connection: &mut AsyncMysqlConnection) -> QueryResult<String> {
    let query = format!("SELECT {STATE} AS state");
    let StateRow { state } = sql_query(query).get_result(connection).await?;
    Ok(state)
}

/// Compares the connection with a fresh one of its pool.
pub(super) async fn clean(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> QueryResult<bool> {
    let Some(fresh) = &terms.server.session.fresh else {
        return Ok(false);
    };
    let fresh: String = fresh.bytes().map(|byte| format!("{byte:02x}")).collect();
    let is_fresh = format!("CAST(@diesel_binds_state AS BINARY) <=> X'{fresh}'");
    let message = format!(
        "DO RELEASE_ALL_LOCKS(); SET timestamp = DEFAULT; SET @diesel_binds_state = {STATE}; {}",
        fail_unless(is_fresh)
    );
    // The last statement fails if the connection differs. One that fails for another reason is closed as well.
    Ok(connection.batch_execute(&message).await.is_ok())
}
