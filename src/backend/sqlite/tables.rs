//! The checks of the protocol's tables on SQLite.

use std::sync::{LazyLock, OnceLock};

use diesel::connection::SimpleConnection as _;
use diesel::{Connection as _, QueryResult, SqliteConnection};

use crate::backend::sqlite::SCHEMA;
use crate::backend::sqlite::pragma::text;
use crate::backend::{Backend, tables};

/// The first reason why a table does not meet the needs of the commit. A row must exist once and be visible to all from
/// the commit of its transaction on, also after a crash. A text, or null.
///
/// A trigger may also belong to the connection alone.
const UNFIT: &str = "(SELECT found FROM (\
    WITH ours (name, key) AS (VALUES ('diesel_binds_meta', NULL), ('diesel_binds_decision', 'unit'), \
        ('diesel_binds_horizon', 'namespace')), \
    made AS (SELECT ours.name, ours.key, m.type, m.sql FROM ours JOIN main.sqlite_master m ON m.name = ours.name) \
    SELECT name || ':kind:a ' || iif(type = 'table', 'virtual table', type) AS found FROM made \
        WHERE type <> 'table' OR sql LIKE 'create virtual%' \
    UNION ALL SELECT ours.name || ':trigger:' || t.name FROM ours JOIN \
        (SELECT name, tbl_name, type FROM main.sqlite_master UNION ALL SELECT name, tbl_name, type FROM temp.sqlite_master) t \
        ON lower(t.tbl_name) = ours.name AND t.type = 'trigger' \
    UNION ALL SELECT name || ':conflict:' FROM made WHERE sql LIKE '%on%conflict%' \
    UNION ALL SELECT made.name || ':generated:' || c.name FROM made JOIN pragma_table_xinfo(made.name, 'main') c \
        WHERE c.hidden <> 0 AND made.type = 'table' \
    UNION ALL SELECT made.name || ':nullable:' || c.name FROM made JOIN pragma_table_info(made.name, 'main') c \
        WHERE c.name = made.key AND NOT c.\"notnull\" \
    UNION ALL SELECT name || ':key:' || key FROM made WHERE key IS NOT NULL AND NOT EXISTS (\
        SELECT 1 FROM pragma_index_list(made.name, 'main') i WHERE i.\"unique\" AND NOT i.partial \
        AND (SELECT group_concat(coalesce(x.name, '') || ' ' || x.coll) FROM pragma_index_xinfo(i.name, 'main') x \
            WHERE x.key) = made.key || ' BINARY')) LIMIT 1)";

/// An expression for the statements that made the tables, with everything that belongs to them: indexes and triggers, also
/// triggers of the connection alone.
pub(super) static MADE_BY: LazyLock<String> = LazyLock::new(|| {
    let made = |schema| {
        // Names of tables in a trigger are as its author wrote them.
        format!(
            "coalesce((SELECT group_concat(type || ' ' || name || ' ' || coalesce(sql, ''), ';') \
             FROM {schema}.sqlite_master WHERE tbl_name COLLATE NOCASE IN \
             ('diesel_binds_meta', 'diesel_binds_decision', 'diesel_binds_horizon')), '')"
        )
    };
    format!("{} || {}", made("main"), made("temp"))
});

/// Returns the query for the row of `diesel_binds_meta` and for a reason why a table is unfit.
///
/// SQLite compiles it in 0.4 ms, so it runs only if the tables are not as the migration makes them.
pub(super) fn meta() -> String {
    tables::meta(SCHEMA, UNFIT)
}

/// Returns whether the tables are as the migration makes them. `made_by` is the answer to [`MADE_BY`].
pub(super) fn are_of_migration(made_by: &str) -> QueryResult<bool> {
    Ok(made_by == made_by_migration()?)
}

/// Returns the answer to [`MADE_BY`] in a database that the migration has made.
fn made_by_migration() -> QueryResult<&'static str> {
    static MADE: OnceLock<String> = OnceLock::new();
    if let Some(made) = MADE.get() {
        return Ok(made);
    }
    let mut memory = SqliteConnection::establish(":memory:")
        .map_err(|error| diesel::result::Error::QueryBuilderError(error.into()))?;
    memory.batch_execute(Backend::Sqlite.protocol_migration().up)?;
    let made = text(&mut memory, &format!("SELECT {}", *MADE_BY))?;
    Ok(MADE.get_or_init(|| made))
}
