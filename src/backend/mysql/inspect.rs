//! What MySQL and MariaDB say of themselves.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::backend::Server;
use crate::backend::mysql::{Flag, is_mariadb};

#[derive(QueryableByName)]
struct ServerRow {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Text)]
    schema_name: String,
    #[diesel(sql_type = BigInt)]
    flush: i64,
    #[diesel(sql_type = BigInt)]
    log_bin: i64,
    #[diesel(sql_type = BigInt)]
    sync_binlog: i64,
    #[diesel(sql_type = Text)]
    identity: String,
    #[diesel(sql_type = BigInt)]
    other_engines: i64,
}

/// Asks for all of it.
pub(super) async fn inspect(connection: &mut AsyncMysqlConnection) -> QueryResult<Server> {
    let row: ServerRow = sql_query(
        "SELECT VERSION() AS version, COALESCE(DATABASE(), '') AS schema_name, \
         CAST(@@innodb_flush_log_at_trx_commit AS SIGNED) AS flush, \
         CAST(@@log_bin AS SIGNED) AS log_bin, CAST(@@sync_binlog AS SIGNED) AS sync_binlog, \
         CONCAT(@@hostname, ':', @@port, @@datadir, '/', COALESCE(DATABASE(), '')) AS identity, \
         (SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() \
          AND TABLE_TYPE = 'BASE TABLE' AND ENGINE <> 'InnoDB') AS other_engines",
    )
    .get_result(connection)
    .await?;
    let mut remarks = Vec::new();
    if row.other_engines > 0 {
        remarks.push(format!(
            "{} tables are not of InnoDB: a unit of several writers that changes them is refused",
            row.other_engines
        ));
    }
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
        identity: row.identity,
        remarks,
    })
}

/// Whether it says that it is a replica, as every role may ask. Whether it follows another server only privileged ones
/// may, and a server that does may be written to all the same.
pub(super) async fn replica(
    connection: &mut AsyncMysqlConnection,
) -> QueryResult<Option<&'static str>> {
    // A number, or a word in later versions.
    let row: Flag =
        sql_query("SELECT CAST(@@GLOBAL.read_only AS CHAR) NOT IN ('0', 'OFF') AS flag")
            .get_result(connection)
            .await?;
    Ok(row.flag.then_some("`read_only` is on"))
}
