//! Recognition of errors for a conflict that aborted a transaction, by their content.
//!
//! diesel-async passes on no SQLSTATE and no error number, so most are recognized by their messages. PostgreSQL and
//! MariaDB may translate theirs. The deadlock of PostgreSQL is recognized in any language, by its detail, which lists
//! which process waits for which.

use diesel::result::{DatabaseErrorKind, Error};

/// The messages of conflicts.
const CONFLICTS: [&str; 6] = [
    // PostgreSQL, 40P01. Diesel has a kind of its own for 40001 (serialization failure).
    "deadlock detected",
    // MySQL and MariaDB, `ER_LOCK_DEADLOCK` and `ER_LOCK_WAIT_TIMEOUT`.
    "Deadlock found when trying to get lock; try restarting transaction",
    "Lock wait timeout exceeded; try restarting transaction",
    // MySQL, `ER_LOCK_NOWAIT`.
    "Statement aborted because lock(s) could not be acquired immediately and NOWAIT is set.",
    // A node of Galera that is outside of its cluster for now. Always in English.
    "WSREP has not yet prepared node for application use",
    // SQLite, `SQLITE_BUSY`, which is always in English.
    "database is locked",
];

/// The start of the message of MariaDB's `ER_CHECKREAD`, in front of the name of a table. The transaction wants to change a
/// row that another one has changed since its snapshot, and is rolled back. Later releases do this by default.
const CHANGED: &str = "Record has changed since last read in table ";

/// Returns whether an error reports a conflict, so that the unit may succeed if it runs again. Sends nothing to a
/// server.
pub(crate) fn is_conflict(error: &Error) -> bool {
    let Error::DatabaseError(kind, information) = error else {
        return false;
    };
    match kind {
        DatabaseErrorKind::SerializationFailure => true,
        DatabaseErrorKind::Unknown => {
            CONFLICTS.contains(&information.message())
                || information.message().starts_with(CHANGED)
                || information.details().is_some_and(is_cycle)
        }
        _ => false,
    }
}

/// Returns whether each line begins with the number of a process and ends with that of the next, the last line with the
/// first.
///
/// A translation may reorder the words, but usually not the numbers. If it does, the deadlock is not recognized.
fn is_cycle(details: &str) -> bool {
    let waits: Option<Vec<(u32, u32)>> = details.lines().map(ends).collect();
    let Some(waits) = waits else { return false };
    let nexts = waits.iter().cycle().skip(1);
    waits.len() >= 2
        && waits
            .iter()
            .zip(nexts)
            .all(|((waiting, blocker), (next, _))| blocker == next && waiting != blocker)
}

/// Returns the first and the last number in a line.
fn ends(line: &str) -> Option<(u32, u32)> {
    let mut numbers = line
        .split(|c: char| !c.is_ascii_digit())
        .filter(|digits| !digits.is_empty())
        .map(str::parse);
    let first = numbers.next()?.ok()?;
    Some((first, numbers.next_back()?.ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: DatabaseErrorKind, message: &str) -> Error {
        Error::DatabaseError(kind, Box::new(message.to_owned()))
    }

    #[test]
    fn a_conflict_is_recognized_by_kind_and_message() {
        use DatabaseErrorKind::{SerializationFailure, UniqueViolation, Unknown};

        assert!(is_conflict(&error(SerializationFailure, "in any language")));
        for message in CONFLICTS {
            assert!(is_conflict(&error(Unknown, message)));
        }
        assert!(is_conflict(&error(Unknown, &format!("{CHANGED}'t'"))));
        assert!(!is_conflict(&error(UniqueViolation, "deadlock detected")));
        assert!(!is_conflict(&error(Unknown, "no deadlock detected")));
        assert!(!is_conflict(&Error::NotFound));
    }

    #[test]
    fn a_deadlock_is_recognized_by_its_cycle_of_processes() {
        for cycle in [
            "Prozess 71 wartet auf ShareLock-Sperre auf Transaktion 740; blockiert von Prozess 72.\n\
             Prozess 72 wartet auf ShareLock-Sperre auf Transaktion 739; blockiert von Prozess 71.",
            "process 1 waits for tuple (0,1) of 16384; blocked by 2.\n2 waits for 3; blocked by 3.\n3: 4, 1",
        ] {
            assert!(is_cycle(cycle), "{cycle}");
        }
        for other in [
            "",
            "Key (id)=(1) already exists.",
            "1 waits for 2.",
            "1 waits for 1.\n1 waits for 1.",
            "1 waits for 2.\n2 waits for 3.",
            "1 waits for 2.\nand 2 for nobody",
            "99999999999 waits for 2.\n2 waits for 99999999999",
        ] {
            assert!(!is_cycle(other), "{other}");
        }
    }
}
