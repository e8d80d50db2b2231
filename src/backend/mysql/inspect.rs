//! Queries for the properties of a MySQL or MariaDB server.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::backend::mysql::{clean, is_mariadb};
use crate::backend::{Durability, Lineage, Server, SessionDefaults};

/// The location of the database. A copy is elsewhere.
pub(super) const LOCATION: &str =
    "CONCAT(@@hostname, ':', @@port, @@datadir, '/', COALESCE(DATABASE(), ''))";

#[derive(QueryableByName)]
struct ServerRow {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Text)]
    schema_name: String,
    #[diesel(sql_type = BigInt)]
    time: i64,
    #[diesel(sql_type = BigInt)]
    flush: i64,
    #[diesel(sql_type = BigInt)]
    log_bin: i64,
    #[diesel(sql_type = BigInt)]
    sync_binlog: i64,
    #[diesel(sql_type = Text)]
    fingerprint: String,
    #[diesel(sql_type = BigInt)]
    english: i64,
}

/// Reads the properties of the server and the session.
pub(super) async fn inspect(connection: &mut AsyncMysqlConnection) -> QueryResult<Server> {
    let row: ServerRow = sql_query(format!(
        "SELECT VERSION() AS version, CAST(@@lc_messages LIKE 'en%' AS SIGNED) AS english, \
         COALESCE(DATABASE(), '') AS schema_name, \
         CAST(FLOOR(UNIX_TIMESTAMP(NOW(6)) * 1000) AS SIGNED) AS time, \
         CAST(@@innodb_flush_log_at_trx_commit AS SIGNED) AS flush, \
         CAST(@@log_bin AS SIGNED) AS log_bin, CAST(@@sync_binlog AS SIGNED) AS sync_binlog, \
         {LOCATION} AS fingerprint"
    ))
    .get_result(connection)
    .await?;
    let not_durable = if row.flush != 1 {
        Some("`innodb_flush_log_at_trx_commit` is not 1".to_owned())
    } else if row.log_bin != 0 && row.sync_binlog != 1 {
        Some("`sync_binlog` is not 1".to_owned())
    } else {
        None
    };
    Ok(Server {
        schema: format!("`{}`.", row.schema_name.replace('`', "``")),
        cannot_prepare: (!is_mariadb(&row.version))
            .then(|| "its XA is not relied on for MySQL, only for MariaDB".to_owned()),
        system: match is_mariadb(&row.version) {
            true => "mariadb",
            false => "mysql",
        },
        database: row.schema_name,
        version: row.version,
        prepared_slots: None,
        not_durable,
        time: Some(row.time),
        lineage: Some(at_location(row.fingerprint.clone())),
        fingerprint: row.fingerprint.into(),
        pooled: false,
        session: SessionDefaults {
            // MySQL has other tables for this state.
            fresh: clean::state(connection).await.ok(),
            english: row.english != 0,
            ..SessionDefaults::default()
        },
    })
}

/// Returns the lineage of a server at a location.
pub(super) fn at_location(location: String) -> Lineage {
    Lineage {
        started: None,
        persistent_id: Some(location),
    }
}

/// The number of tables of an engine without transactions.
///
/// For this query, MariaDB opens every table of the database. It does not wait for a table that is being altered, and
/// leaves it out.
const NON_TRANSACTIONAL: &str = "/*M! SET STATEMENT lock_wait_timeout = 0 FOR */ \
     SELECT COUNT(*) AS value FROM information_schema.TABLES \
     WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB'";

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    value: i64,
}

/// Returns remarks for an operator.
pub(super) async fn remarks(connection: &mut AsyncMysqlConnection) -> QueryResult<Vec<String>> {
    let count: Count = sql_query(NON_TRANSACTIONAL).get_result(connection).await?;
    let remark = (count.value > 0).then(|| {
        format!(
            "{} tables are not of InnoDB: a unit of several writers that changes them is refused",
            count.value
        )
    });
    Ok(remark.into_iter().collect())
}

/// Reads the durability of confirmed commits. Each of these settings can change while the server runs.
pub(super) async fn durability(
    connection: &mut AsyncMysqlConnection,
    version: &str,
) -> QueryResult<Durability> {
    // MySQL has this status elsewhere, and is not trusted with it.
    let replicated = match is_mariadb(version) {
        true => {
            "(SELECT COUNT(*) FROM information_schema.GLOBAL_STATUS \
             WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_STATUS' AND VARIABLE_VALUE = 'ON') > 0"
        }
        false => "1 = 0",
    };
    sql_query(format!(
        "SELECT CASE WHEN @@GLOBAL.innodb_flush_log_at_trx_commit <> 1 THEN '`innodb_flush_log_at_trx_commit` is not 1' \
         WHEN @@GLOBAL.log_bin <> 0 AND @@GLOBAL.sync_binlog <> 1 THEN '`sync_binlog` is not 1' END AS not_durable, \
         {replicated} AS replicated"
    ))
    .get_result(connection)
    .await
}
