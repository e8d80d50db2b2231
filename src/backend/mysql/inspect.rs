//! Queries for the properties of a MySQL or MariaDB server.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};

use crate::backend::mysql::flavour::Flavour;
use crate::backend::mysql::{Flag, clean};
use crate::backend::{Durability, Lineage, Role, Server, SessionDefaults, Terms};

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

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = Text, column_name = "Variable_name")]
    name: String,
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

/// The settings that say whether transactions can be prepared. Every role may read them, and a server leaves out those
/// that it does not have.
const PREPARING: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN \
     ('xa_detach_on_prepare', 'wsrep_on', 'wsrep_provider')";

/// The reason why MySQL cannot prepare, and its remedy.
pub(super) const NOT_DETACHED: &str = "`xa_detach_on_prepare` is not on, and only with it can every connection finish \
     a branch; set it to ON";

/// Returns the value of a setting.
fn value<'s>(settings: &'s [Setting], name: &str) -> Option<&'s str> {
    let mut settings = settings.iter();
    let found = settings.find(|setting| setting.name.eq_ignore_ascii_case(name));
    found.map(|setting| &*setting.value)
}

/// Returns whether the server is a node of a Galera cluster.
fn is_node(settings: &[Setting]) -> bool {
    value(settings, "wsrep_on") == Some("ON")
        && value(settings, "wsrep_provider").is_some_and(|of| of != "none")
}

/// Returns the reason why nothing can be prepared, if so, and how long that holds.
fn cannot_prepare(flavour: Flavour, settings: &[Setting]) -> (Option<String>, Role) {
    if is_node(settings) {
        let reason = "it is a node of a Galera cluster, which has no XA; the other binds of its units must prepare";
        return (Some(reason.to_owned()), Role::Fixed);
    }
    match (flavour, value(settings, "xa_detach_on_prepare")) {
        (Flavour::MariaDb, _) => (None, Role::Fixed),
        (Flavour::MySql, Some("ON")) => (None, Role::Changeable),
        (Flavour::MySql, Some(_)) => (Some(NOT_DETACHED.to_owned()), Role::Changeable),
        (Flavour::MySql, None) => {
            let reason = "it has no `xa_detach_on_prepare`, and only with it can every connection finish a branch; use \
                          MySQL 8.0.29 or later, or MariaDB";
            (Some(reason.to_owned()), Role::Fixed)
        }
    }
}

/// Returns whether the server says that a branch of the session would belong to its connection. A session keeps the
/// setting that it began with.
pub(super) async fn is_attached(connection: &mut AsyncMysqlConnection) -> QueryResult<bool> {
    let Flag { flag } = sql_query("SELECT @@SESSION.xa_detach_on_prepare = 0 AS flag")
        .get_result(connection)
        .await?;
    Ok(flag)
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
    let settings: Vec<Setting> = sql_query(PREPARING).load(connection).await?;
    let flavour = Flavour::of_version(&row.version);
    let (mut cannot_prepare, mut role) = cannot_prepare(flavour, &settings);
    if cannot_prepare.is_none() && role == Role::Changeable && is_attached(connection).await? {
        cannot_prepare = Some(NOT_DETACHED.to_owned());
        role = Role::OfOldConnections;
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
        cannot_prepare,
        is_node: is_node(&settings),
        role,
        system: flavour.system(),
        database: row.schema_name,
        version: row.version,
        prepared_slots: None,
        not_durable,
        time: Some(row.time),
        lineage: Some(at_location(connection, row.fingerprint.clone()).await?),
        fingerprint: row.fingerprint.into(),
        pooled: false,
        session: SessionDefaults {
            fresh: match flavour {
                Flavour::MariaDb => clean::state(connection).await.ok(),
                // MySQL shows user variables only to privileged roles.
                Flavour::MySql => None,
            },
            english: row.english != 0,
            ..SessionDefaults::default()
        },
    })
}

/// Returns the lineage of a server at a location. Its start time is known only to the second, so only the location
/// identifies it, and the cluster that it is a node of.
pub(super) async fn at_location(
    connection: &mut AsyncMysqlConnection,
    location: String,
) -> QueryResult<Lineage> {
    let cluster: Vec<Setting> =
        sql_query("SHOW GLOBAL STATUS WHERE Variable_name = 'wsrep_cluster_state_uuid'")
            .load(connection)
            .await?;
    let cluster = cluster.into_iter().next().map(|status| status.value);
    Ok(Lineage {
        started: None,
        persistent_id: Some(location),
        timeline: None,
        // Without a cluster, the id is empty or zero.
        cluster: cluster.filter(|id| id.contains(|c| !"0-".contains(c))),
    })
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
    terms: &Terms,
) -> QueryResult<Durability> {
    let replicated = match Flavour::of(terms) {
        Flavour::MariaDb => {
            "(SELECT COUNT(*) FROM information_schema.GLOBAL_STATUS \
             WHERE VARIABLE_NAME = 'RPL_SEMI_SYNC_MASTER_STATUS' AND VARIABLE_VALUE = 'ON') > 0"
        }
        // The waits of MySQL for replicas were not tried.
        Flavour::MySql => "1 = 0",
    };
    sql_query(format!(
        "SELECT CASE WHEN @@GLOBAL.innodb_flush_log_at_trx_commit <> 1 THEN '`innodb_flush_log_at_trx_commit` is not 1' \
         WHEN @@GLOBAL.log_bin <> 0 AND @@GLOBAL.sync_binlog <> 1 THEN '`sync_binlog` is not 1' END AS not_durable, \
         {replicated} AS replicated"
    ))
    .get_result(connection)
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(flavour: Flavour, settings: &[(&str, &str)]) -> Option<String> {
        let settings: Vec<Setting> = settings
            .iter()
            .map(|(name, value)| Setting {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect();
        cannot_prepare(flavour, &settings).0
    }

    #[test]
    fn a_server_whose_branches_others_can_finish_prepares() {
        const SETTING: &str = "xa_detach_on_prepare";
        assert_eq!(reason(Flavour::MariaDb, &[]), None);
        assert_eq!(reason(Flavour::MySql, &[(SETTING, "ON")]), None);
        let off = reason(Flavour::MySql, &[(SETTING, "OFF")]).unwrap();
        assert!(off.contains("set it to ON"), "{off}");
        // Before 8.0.29, and servers that only speak the protocol of MySQL.
        let absent = reason(Flavour::MySql, &[]).unwrap();
        assert!(absent.contains("8.0.29"), "{absent}");
    }

    #[test]
    fn a_node_of_galera_does_not_prepare() {
        let node = [("wsrep_on", "ON"), ("wsrep_provider", "/usr/lib/galera.so")];
        let reason_of_node = reason(Flavour::MariaDb, &node).unwrap();
        assert!(reason_of_node.contains("Galera"), "{reason_of_node}");
        for settings in [
            [
                ("wsrep_on", "OFF"),
                ("wsrep_provider", "/usr/lib/galera.so"),
            ],
            [("wsrep_on", "ON"), ("wsrep_provider", "none")],
        ] {
            assert_eq!(reason(Flavour::MariaDb, &settings), None);
        }
    }
}
