//! Several files on one connection: SQLite commits them as one, where they keep a rollback journal.

use diesel::connection::SimpleConnection as _;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};

use crate::backend::Attached;

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

/// Attaches what is missing, and makes sure that the group commits as one and that each name means one table.
///
/// In WAL each file of a group commits by itself, and a crash tears the unit: seen in 3 of 7 kill points.
/// Unqualified names are looked up in all attached files, so that a name that two files have is routed by accident.
pub(super) fn attach(connection: &mut SqliteConnection, attached: &[Attached]) -> QueryResult<()> {
    if attached.is_empty() {
        return Ok(());
    }
    for Attached { key, path } in attached {
        let present: Count = sql_query(format!(
            "SELECT count(*) AS count FROM pragma_database_list WHERE name = '{key}'"
        ))
        .get_result(connection)?;
        if present.count == 0 {
            connection.batch_execute(&format!(
                "ATTACH DATABASE '{}' AS \"{key}\"",
                path.replace('\'', "''")
            ))?;
        }
    }
    refuse_wal(connection, attached)?;
    refuse_equal_names(connection, attached)
}

fn refuse_wal(connection: &mut SqliteConnection, attached: &[Attached]) -> QueryResult<()> {
    for schema in schemas(attached) {
        let mode: JournalMode =
            sql_query(format!("PRAGMA \"{schema}\".journal_mode")).get_result(connection)?;
        if !matches!(
            mode.journal_mode.as_str(),
            "delete" | "truncate" | "persist"
        ) {
            return Err(refusal(format!(
                "the file `{schema}` of a group of attached SQLite files has the journal mode `{}`: only a rollback \
                 journal (delete, truncate, persist) commits several files as one",
                mode.journal_mode
            )));
        }
    }
    Ok(())
}

fn refuse_equal_names(connection: &mut SqliteConnection, attached: &[Attached]) -> QueryResult<()> {
    let all = schemas(attached)
        .map(|schema| {
            format!(
                "SELECT name FROM \"{schema}\".sqlite_master WHERE type IN ('table', 'view') \
                 AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND name NOT LIKE 'diesel\\_binds\\_%' ESCAPE '\\' \
                 AND name <> '__diesel_schema_migrations'"
            )
        })
        .collect::<Vec<_>>()
        .join(" UNION ALL ");
    let twice: Vec<Name> = sql_query(format!(
        "SELECT lower(name) AS name FROM ({all}) GROUP BY lower(name) HAVING count(*) > 1"
    ))
    .load(connection)?;
    match twice.first() {
        None => Ok(()),
        Some(Name { name }) => Err(refusal(format!(
            "two files of a group of attached SQLite files have a table `{name}`: a query would reach one of them by \
             accident"
        ))),
    }
}

fn schemas(attached: &[Attached]) -> impl Iterator<Item = &str> {
    std::iter::once("main").chain(attached.iter().map(|file| file.key))
}

fn refusal(message: String) -> Error {
    Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message))
}
