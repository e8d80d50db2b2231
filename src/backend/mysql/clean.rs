//! State that statements of an application may leave on a connection of MariaDB.
//!
//! Only a reset of the connection would remove all of it, which diesel-async does not offer. Locks by name are
//! released. For everything else, the connection is compared with a fresh one, and closed if it differs.

use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::backend::Terms;

/// The state of a connection: its database and role, its variables, and the user's variables. Some state is listed
/// nowhere: a temporary table, a statement by name, a table lock, an open handler. For these, the commands that create
/// them are counted.
///
/// Variables that every statement sets are left out.
const STATE: &str = "SELECT CONCAT_WS(' ', COALESCE(DATABASE(), ''), COALESCE(CURRENT_ROLE(), ''), \
     (SELECT BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('=', VARIABLE_NAME, SESSION_VALUE)), 16), 16, 10) AS UNSIGNED)) \
     FROM information_schema.SYSTEM_VARIABLES WHERE SESSION_VALUE IS NOT NULL AND VARIABLE_NAME NOT IN \
     ('TIMESTAMP', 'RAND_SEED1', 'RAND_SEED2', 'LAST_INSERT_ID', 'IDENTITY', 'ERROR_COUNT', 'WARNING_COUNT', \
     'PSEUDO_THREAD_ID', 'LAST_GTID', 'IN_TRANSACTION')), \
     ABS(@@timestamp - UNIX_TIMESTAMP(SYSDATE(6))) > 60, \
     (SELECT BIT_XOR(CAST(CONV(LEFT(MD5(CONCAT_WS('=', VARIABLE_NAME, VARIABLE_VALUE)), 16), 16, 10) AS UNSIGNED)) \
     FROM information_schema.USER_VARIABLES \
     WHERE VARIABLE_VALUE IS NOT NULL AND VARIABLE_NAME NOT LIKE 'diesel\\_binds\\_%'), \
     (SELECT SUM(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS WHERE VARIABLE_NAME IN \
     ('COM_CREATE_TEMPORARY_TABLE', 'COM_PREPARE_SQL', 'COM_LOCK_TABLES', 'COM_HA_OPEN', 'COM_CHANGE_DB', \
     'COM_FLUSH', 'COM_BACKUP', 'COM_BACKUP_LOCK'))) AS state, RELEASE_ALL_LOCKS() AS released";

#[derive(QueryableByName)]
struct StateRow {
    #[diesel(sql_type = Text)]
    state: String,
}

/// Reads the state of the connection.
pub(super) async fn state(connection: &mut AsyncMysqlConnection) -> QueryResult<String> {
    let StateRow { state } = sql_query(STATE).get_result(connection).await?;
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
    Ok(state(connection).await? == *fresh)
}
