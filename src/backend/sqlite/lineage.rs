//! The identity of a SQLite file, which distinguishes it from its copies.
//!
//! A copy has the id of its original, and both would decide the same units. The number of the inode and its creation
//! time are not copied, so they are recorded beside the id. The number of the device is left out, because it changes
//! when a machine starts.

use std::fs;
use std::time::UNIX_EPOCH;

use diesel::connection::SimpleConnection as _;
use diesel::{QueryResult, SqliteConnection};

use crate::backend::sqlite::pragma::{number, text};
use crate::commit::Fault;
use crate::gid::DatabaseId;

/// Refuses a file that is not the one recorded with its id.
pub(super) fn verify(file: &str, recorded: &str) -> Result<(), Fault> {
    match place(file) {
        // On some file systems the place is unknown, and a copy cannot be recognized.
        Some(now) if now != recorded => Err(Fault::Copied),
        _ => Ok(()),
    }
}

/// Records the file with its id, unless one is recorded.
pub(super) fn record(connection: &mut SqliteConnection) -> QueryResult<()> {
    match place(&file(connection)?) {
        Some(place) => connection.batch_execute(&format!(
            "UPDATE main.diesel_binds_meta SET place = '{place}' WHERE place IS NULL"
        )),
        None => Ok(()),
    }
}

/// Records the file with its id, if it has the tables of the protocol, and unless one is recorded.
pub(super) fn record_if_installed(connection: &mut SqliteConnection) -> QueryResult<()> {
    match has_place_column(connection)? {
        true => record(connection),
        false => Ok(()),
    }
}

fn has_place_column(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let found = number(
        connection,
        "SELECT count(*) AS value FROM pragma_table_info('diesel_binds_meta', 'main') WHERE name = 'place'",
    )?;
    Ok(found != 0)
}

/// Makes the file the one that has the id, or gives it another id.
pub(super) fn adopt(connection: &mut SqliteConnection, id: Option<DatabaseId>) -> QueryResult<()> {
    let place = place(&file(connection)?).map_or("NULL".to_owned(), |place| format!("'{place}'"));
    let id = id.map_or(String::new(), |id| format!(", holder_id = '{id}'"));
    connection.batch_execute(&format!(
        "UPDATE main.diesel_binds_meta SET place = {place}{id}"
    ))
}

/// Removes the recorded file of a copy until the copy is used.
#[cfg(feature = "testing")]
pub(super) fn forget(connection: &mut SqliteConnection) {
    // If the tables are missing, there is nothing to remove.
    let _ = connection.batch_execute("UPDATE main.diesel_binds_meta SET place = NULL");
}

/// Adds columns that older tables do not have.
pub(super) fn install(connection: &mut SqliteConnection) -> QueryResult<()> {
    if !has_place_column(connection)? {
        connection.batch_execute("ALTER TABLE main.diesel_binds_meta ADD COLUMN place TEXT")?;
    }
    record(connection)
}

/// Returns the name of the main file, empty if there is none.
fn file(connection: &mut SqliteConnection) -> QueryResult<String> {
    text(
        connection,
        "SELECT file AS value FROM pragma_database_list WHERE name = 'main'",
    )
}

/// Returns the text that distinguishes the file from every copy of it. `None` without a file, and on file systems that
/// keep no creation time: there, inode numbers may also change.
fn place(file: &str) -> Option<String> {
    if file.is_empty() {
        return None;
    }
    let Ok(metadata) = fs::metadata(file) else {
        return Some("gone".into());
    };
    let made = metadata
        .created()
        .ok()
        .and_then(|made| made.duration_since(UNIX_EPOCH).ok());
    made.map(|made| format!("{}:{}", inode(&metadata), made.as_nanos()))
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}
