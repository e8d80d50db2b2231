//! The checks of the protocol's tables on MySQL and MariaDB. Every role that may read the tables may run them. MariaDB
//! 10.11 also shows triggers to a role without TRIGGER, and hides only their text; that is not documented.

use crate::backend::tables;

const OURS: [&str; 5] = [
    "diesel_binds_meta",
    "diesel_binds_decision",
    "diesel_binds_horizon",
    "diesel_binds_branch",
    "diesel_binds_forced",
];

/// The first reason why a table does not meet the needs of the commit. A row must exist once and be visible to all from
/// the commit of its transaction on, also after a crash. A text, or null.
///
/// Each table is asked for by its name alone. For a list of names, MariaDB opens every table of the database, and waits
/// for one that is being altered. Recovery would then wait for a migration that waits for a branch that recovery has to
/// finish.
fn unfit(schema: &str, denied: bool) -> String {
    let database = database(schema);
    let asked = OURS.map(|table| {
        format!(
            "{} UNION ALL {}",
            unfit_table(&database, table),
            unfit_columns(&database, table)
        )
    });
    let keys = [
        key(&database, "diesel_binds_decision", "unit"),
        key(&database, "diesel_binds_horizon", "namespace"),
        key(&database, "diesel_binds_forced", "unit"),
    ];
    let may_write = ["diesel_binds_decision", "diesel_binds_branch"];
    let may_write = may_write
        .into_iter()
        .filter(|_| denied)
        .map(|table| denied_insert(&database, table));
    let all: Vec<String> = asked.into_iter().chain(keys).chain(may_write).collect();
    format!(
        "(SELECT found FROM ({}) AS ours LIMIT 1)",
        all.join(" UNION ALL ")
    )
}

fn unfit_table(database: &str, table: &str) -> String {
    format!(
        "SELECT CONCAT('{table}:', CASE WHEN TABLE_TYPE <> 'BASE TABLE' THEN CONCAT('kind:', LOWER(TABLE_TYPE)) \
         WHEN ENGINE <> 'InnoDB' THEN CONCAT('engine:', ENGINE) ELSE 'kind:partitioned' END) AS found \
         FROM information_schema.TABLES WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = '{table}' \
         AND (TABLE_TYPE <> 'BASE TABLE' OR ENGINE <> 'InnoDB' OR CREATE_OPTIONS LIKE '%partitioned%') \
         UNION ALL SELECT CONCAT('{table}:trigger:', TRIGGER_NAME) FROM information_schema.TRIGGERS \
         WHERE EVENT_OBJECT_SCHEMA = {database} AND EVENT_OBJECT_TABLE = '{table}'"
    )
}

fn unfit_columns(database: &str, table: &str) -> String {
    format!(
        "SELECT found FROM (SELECT CONCAT('{table}', CASE \
         WHEN EXTRA LIKE '%VIRTUAL GENERATED%' OR EXTRA LIKE '%STORED GENERATED%' THEN ':generated:' \
         WHEN COLUMN_NAME = 'unit' AND IS_NULLABLE <> 'NO' THEN ':nullable:' \
         WHEN COLUMN_NAME IN ('unit', 'namespace') AND RIGHT(COALESCE(COLLATION_NAME, '_bin'), 4) <> '_bin' \
         THEN ':collation:' END, COLUMN_NAME) AS found \
         FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = '{table}') AS named \
         WHERE found IS NOT NULL"
    )
}

fn key(database: &str, table: &str, key: &str) -> String {
    format!(
        "SELECT '{table}:key:{key}' FROM DUAL WHERE NOT EXISTS (SELECT INDEX_NAME \
         FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = '{table}' \
         AND NON_UNIQUE = 0 GROUP BY INDEX_NAME \
         HAVING COUNT(*) = 1 AND MAX(COLUMN_NAME) = '{key}' AND MAX(SUB_PART) IS NULL)"
    )
}

/// Checks the privileges of the role, including those granted on other levels.
fn denied_insert(database: &str, table: &str) -> String {
    format!(
        "SELECT '{table}:denied:INSERT' FROM information_schema.COLUMNS \
         WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = '{table}' AND COLUMN_NAME = 'unit' \
         AND NOT FIND_IN_SET('insert', PRIVILEGES)"
    )
}

/// Returns the query for the row of `diesel_binds_meta`, for reading only.
pub(super) fn meta(schema: &str) -> String {
    tables::meta(schema, &unfit(schema, false))
}

/// Returns the query for the row of `diesel_binds_meta`, for a writer of a unit. Also checks the table of the branches.
pub(super) fn meta_for_writer(schema: &str) -> String {
    format!(
        "{} AND NOT EXISTS (SELECT diesel_binds_branch.unit, diesel_binds_branch.branch, diesel_binds_branch.holder, \
         diesel_binds_branch.holder_id, diesel_binds_branch.connection_id, diesel_binds_branch.parts, diesel_binds_branch.namespace, \
         diesel_binds_branch.at FROM {schema}diesel_binds_branch WHERE 1 = 0)",
        tables::meta(schema, &unfit(schema, true))
    )
}

/// Returns the query whether the tables are there. The server hides them from a role without any privilege on them.
pub(super) fn exist(schema: &str) -> String {
    let database = database(schema);
    format!(
        "SELECT EXISTS (SELECT 1 FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {database} AND TABLE_NAME = 'diesel_binds_meta') AS found"
    )
}

/// Returns the name of the database as a value, from the prefix that names it. In hexadecimal, because a name may
/// contain any character.
fn database(schema: &str) -> String {
    let name = schema.trim_end_matches('.');
    let name = name.strip_prefix('`').unwrap_or(name);
    let name = name.strip_suffix('`').unwrap_or(name).replace("``", "`");
    let bytes: String = name.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("CONVERT(X'{bytes}' USING utf8)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_any_characters_is_a_value() {
        assert_eq!(database("`a``b'\\`."), "CONVERT(X'616062275c' USING utf8)");
    }
}
