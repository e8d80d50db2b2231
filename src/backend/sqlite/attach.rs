//! Several files on one connection. SQLite commits them atomically if each has a rollback journal.

use diesel::connection::SimpleConnection as _;
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName, RunQueryDsl as _, SqliteConnection, sql_query};

use crate::backend::Attached;
use crate::backend::sqlite::pragma::{number, text};

#[derive(QueryableByName)]
struct Name {
    #[diesel(sql_type = Text)]
    name: String,
}

/// Attaches the missing files. Runs before the transaction, which then locks all files at its begin.
///
/// Returns the newly attached files, a bit for each: SQLite attaches 125 at most.
pub(super) fn attach(
    connection: &mut SqliteConnection,
    attached: &[Attached],
) -> QueryResult<u128> {
    let mut missing = 0;
    for (position, Attached { key, path }) in attached.iter().enumerate() {
        let present = number(
            connection,
            &format!("SELECT count(*) AS value FROM pragma_database_list WHERE name = '{key}'"),
        )?;
        if present == 0 {
            connection.batch_execute(&format!(
                "ATTACH DATABASE '{}' AS \"{key}\"",
                path.replace('\'', "''")
            ))?;
            missing |= 1 << position;
        }
    }
    Ok(missing)
}

/// Detaches the files that [`attach`] has attached, outside of a transaction. The next user of the connection may have
/// no such bind, and would find its tables by their bare names.
pub(super) fn detach(
    connection: &mut SqliteConnection,
    attached: &[Attached],
    missing: u128,
) -> QueryResult<()> {
    for (position, Attached { key, .. }) in attached.iter().enumerate() {
        if missing & (1 << position) != 0 {
            connection.batch_execute(&format!("DETACH DATABASE \"{key}\""))?;
        }
    }
    Ok(())
}

/// Makes sure that the group commits as one and that each name means one table. For a unit that writes, this runs
/// within its transaction: before that, other connections can still change it.
pub(super) fn verify(connection: &mut SqliteConnection, attached: &[Attached]) -> QueryResult<()> {
    if attached.is_empty() {
        return Ok(());
    }
    // Comes first, because it reads every file. Before that, a connection reports the journal mode of its last unit.
    // The first unit after another process had turned to WAL was then let through.
    refuse_equal_names(connection, attached)?;
    refuse_torn_commits(connection, attached)
}

/// Refuses a group of files whose commit is not atomic. Only a journal that names all files makes it so. In WAL mode or
/// without `synchronous`, each file commits by itself. The death of the process in between tears the unit: seen in 3 of
/// 7 kill points.
fn refuse_torn_commits(
    connection: &mut SqliteConnection,
    attached: &[Attached],
) -> QueryResult<()> {
    for schema in schemas(attached) {
        let journal = text(
            connection,
            &format!("SELECT journal_mode AS value FROM pragma_journal_mode('{schema}')"),
        )?;
        if !matches!(journal.as_str(), "delete" | "truncate" | "persist") {
            return Err(refusal(format!(
                "the file `{schema}` of a group of attached SQLite files has the journal mode `{journal}`: only a \
                 rollback journal (delete, truncate, persist) commits several files as one"
            )));
        }
        let synchronous = number(
            connection,
            &format!("SELECT synchronous AS value FROM pragma_synchronous('{schema}')"),
        )?;
        if synchronous == 0 {
            return Err(refusal(format!(
                "the file `{schema}` of a group of attached SQLite files has `synchronous = OFF`: SQLite then commits \
                 it apart from the others"
            )));
        }
    }
    Ok(())
}

/// Refuses a name that two files have. Unqualified names are looked up in all attached files, so a query would use
/// whichever file SQLite finds first.
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

/// Returns the schema names of the files of a group.
pub(super) fn schemas(attached: &[Attached]) -> impl Iterator<Item = &str> {
    std::iter::once("main").chain(attached.iter().map(|file| file.key))
}

pub(super) fn refusal(message: String) -> Error {
    Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message))
}
