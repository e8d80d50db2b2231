//! Queries for the properties of SQLite and of a file.

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, RunQueryDsl as _, SqliteConnection};

use crate::backend::server::SessionDefaults;
use crate::backend::sqlite::SCHEMA;
use crate::backend::sqlite::pragma::{kept, text};
use crate::backend::{Role, Server};

/// Reads the properties of SQLite, the file and the connection.
pub(super) fn inspect(connection: &mut SqliteConnection) -> QueryResult<Server> {
    let version = text(connection, "SELECT sqlite_version() AS value")?;
    let file = text(
        connection,
        "SELECT file AS value FROM pragma_database_list WHERE name = 'main'",
    )?;
    let journal = text(
        connection,
        "SELECT journal_mode AS value FROM pragma_journal_mode('main')",
    )?;
    let name = std::path::Path::new(&file).file_name();
    Ok(Server {
        system: "sqlite",
        database: name.unwrap_or_default().to_string_lossy().into_owned(),
        version,
        schema: SCHEMA.into(),
        is_node: false,
        cannot_prepare: Some("SQLite cannot prepare a transaction".into()),
        role: Role::Fixed,
        prepared_slots: None,
        not_durable: not_durable(connection, "main")?,
        time: None,
        fingerprint: file.into(),
        lineage: None,
        pooled: false,
        session: SessionDefaults {
            keeps_no_journal: journal == "off",
            english: true,
            ..SessionDefaults::default()
        },
    })
}

/// Returns remarks for an operator.
pub(super) fn remarks(connection: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    let file = text(
        connection,
        "SELECT file AS value FROM pragma_database_list WHERE name = 'main'",
    )?;
    let remark = "the database has no file: unless all connections share its memory, each of them, also that of \
                  recovery, has a database of its own";
    Ok(file.is_empty().then(|| remark.into()).into_iter().collect())
}

/// The properties of one file of a connection that decide whether a crash may lose a confirmed commit: its name, and the
/// settings `synchronous` and `journal_mode`.
pub(super) type DurabilityRow = (String, i64, String);

/// The SQL types of a [`DurabilityRow`].
pub(super) type DurabilityColumns = (Text, BigInt, Text);

/// Returns the columns of a query for a [`DurabilityRow`].
pub(super) fn durability_columns(schema: &str) -> String {
    format!(
        "(SELECT file FROM pragma_database_list WHERE name = '{schema}'), \
         (SELECT synchronous FROM pragma_synchronous('{schema}')), \
         (SELECT journal_mode FROM pragma_journal_mode('{schema}'))"
    )
}

/// Returns the setting of a file because of which a crash may lose a confirmed commit, if there is one.
pub(super) fn reason_not_durable(schema: &str, row: &DurabilityRow) -> Option<String> {
    let (file, synchronous, journal) = row;
    if file.is_empty() {
        return Some(format!("the database `{schema}` has no file"));
    }
    if *synchronous < 2 {
        return Some(format!("`{schema}.synchronous` is below FULL"));
    }
    matches!(journal.as_str(), "off" | "memory")
        .then(|| format!("`{schema}.journal_mode` is `{journal}`"))
}

/// Returns the setting of a file because of which a crash may lose a confirmed commit, if there is one.
pub(super) fn not_durable(
    connection: &mut SqliteConnection,
    schema: &str,
) -> QueryResult<Option<String>> {
    let query = format!("SELECT {}", durability_columns(schema));
    let row = kept::<DurabilityColumns>(&query, &[]).get_result(connection)?;
    Ok(reason_not_durable(schema, &row))
}
