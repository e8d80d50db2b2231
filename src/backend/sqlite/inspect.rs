//! Queries for the properties of SQLite and of a file.

use diesel::{QueryResult, SqliteConnection};

use crate::backend::server::SessionDefaults;
use crate::backend::sqlite::SCHEMA;
use crate::backend::sqlite::pragma::{number, text};
use crate::backend::{Attached, Server};

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
        cannot_prepare: Some("SQLite cannot prepare a transaction".into()),
        prepared_slots: None,
        not_durable: not_durable(connection, &[])?,
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

/// Returns the setting because of which a crash may lose a confirmed commit, if there is one.
pub(super) fn not_durable(
    connection: &mut SqliteConnection,
    attached: &[Attached],
) -> QueryResult<Option<String>> {
    let schemas = std::iter::once("main").chain(attached.iter().map(|file| file.key));
    for schema in schemas {
        let file = text(
            connection,
            &format!("SELECT file AS value FROM pragma_database_list WHERE name = '{schema}'"),
        )?;
        if file.is_empty() {
            return Ok(Some(format!("the database `{schema}` has no file")));
        }
        let synchronous = number(
            connection,
            &format!("SELECT synchronous AS value FROM pragma_synchronous('{schema}')"),
        )?;
        if synchronous < 2 {
            return Ok(Some(format!("`{schema}.synchronous` is below FULL")));
        }
        let journal = text(
            connection,
            &format!("SELECT journal_mode AS value FROM pragma_journal_mode('{schema}')"),
        )?;
        if matches!(journal.as_str(), "off" | "memory") {
            return Ok(Some(format!("`{schema}.journal_mode` is `{journal}`")));
        }
    }
    Ok(None)
}
