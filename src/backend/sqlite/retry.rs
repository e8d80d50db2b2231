//! What SQLite says when another connection has the file.

use diesel::result::{DatabaseErrorKind, Error};

/// Whether the transaction might get through if it ran again: `SQLITE_BUSY`, whose message is always English.
pub(super) fn is_conflict(error: &Error) -> bool {
    matches!(error, Error::DatabaseError(DatabaseErrorKind::Unknown, information)
        if information.message() == "database is locked")
}
