//! State that statements of an application may leave on a connection of SQLite. No reset removes it, so the connection
//! is compared with a fresh one, and closed if it differs.

use diesel::sql_types::BigInt;
use diesel::{
    OptionalExtension as _, QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection,
    sql_query,
};

use crate::backend::Terms;
use crate::backend::sqlite::connection_number::FUNCTION;
use crate::backend::sqlite::pragma::{number, text};

/// Settings of a connection that each return one value.
const PRAGMAS: [&str; 30] = [
    "analysis_limit",
    "automatic_index",
    "busy_timeout",
    "cache_size",
    "cache_spill",
    "cell_size_check",
    "checkpoint_fullfsync",
    "count_changes",
    "defer_foreign_keys",
    "empty_result_callbacks",
    "foreign_keys",
    "full_column_names",
    "fullfsync",
    "ignore_check_constraints",
    "journal_mode",
    "journal_size_limit",
    "legacy_alter_table",
    "locking_mode",
    "max_page_count",
    "query_only",
    "read_uncommitted",
    "recursive_triggers",
    "reverse_unordered_selects",
    "secure_delete",
    "short_column_names",
    "synchronous",
    "temp_store",
    "threads",
    "trusted_schema",
    "writable_schema",
];

/// The number of pages after which the WAL is checkpointed. This pragma has no table-valued function.
#[derive(QueryableByName)]
struct Checkpoint {
    #[diesel(sql_type = BigInt)]
    wal_autocheckpoint: i64,
}

/// The mapped size of the file, where mapping is possible. This pragma has no table-valued function.
#[derive(QueryableByName)]
struct Mapped {
    #[diesel(sql_type = BigInt)]
    mmap_size: i64,
}

/// Returns the state of the connection: its settings, files, functions and collations, and the tables in its temporary
/// schema.
pub(super) fn state(connection: &mut SqliteConnection) -> QueryResult<String> {
    let mut query = format!(
        // An empty temporary schema counts as none.
        "SELECT quote((SELECT group_concat(name || file, ';') FROM pragma_database_list WHERE name <> 'temp')) \
         || quote((SELECT group_concat(name || '/' || narg || '/' || type || builtin || flags, ';') \
         FROM pragma_function_list WHERE name <> '{FUNCTION}')) \
         || quote((SELECT group_concat(name, ';') FROM pragma_collation_list)) || ('a' LIKE 'A')",
    );
    // A query on the temporary schema opens it.
    let opened = "SELECT count(*) AS value FROM pragma_database_list WHERE name = 'temp'";
    if number(connection, opened)? != 0 {
        query
            .push_str(" || coalesce((SELECT group_concat(name, ';') FROM sqlite_temp_master), '')");
    }
    for pragma in PRAGMAS {
        query.push_str(&format!(" || quote((SELECT * FROM pragma_{pragma}))"));
    }
    query.push_str(" AS value");
    let settings = text(connection, &query)?;
    let Checkpoint { wal_autocheckpoint } =
        sql_query("PRAGMA wal_autocheckpoint").get_result(connection)?;
    let mapped: Option<Mapped> = sql_query("PRAGMA mmap_size")
        .get_result(connection)
        .optional()?;
    let mapped = mapped.map_or(0, |mapped| mapped.mmap_size);
    Ok(format!("{settings} {wal_autocheckpoint} {mapped}"))
}

/// Compares the connection with a fresh one of its pool.
pub(super) fn clean(connection: &mut SqliteConnection, terms: &Terms) -> QueryResult<bool> {
    let Some(fresh) = &terms.server.session.fresh else {
        return Ok(false);
    };
    Ok(state(connection)? == *fresh)
}
