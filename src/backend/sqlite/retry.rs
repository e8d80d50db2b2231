//! Recognition of SQLite's error when another connection has locked the file.

use diesel::result::{DatabaseErrorKind, Error};

/// Returns whether the transaction might succeed if it ran again: `SQLITE_BUSY`, whose message is always English.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::Unknown, information)
        if information.message() == "database is locked")
}
