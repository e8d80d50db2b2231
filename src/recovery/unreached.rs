//! The errors of a connection that no server answered. A server that refuses the login works, and may still decide.

use std::error::Error;
use std::io;
use std::iter::successors;

/// The beginnings of the errors by which a driver reports that no server answered. Any other error may be a refusal.
const UNREACHED: &[&str] = &[
    // PostgreSQL: the address, a lost connection, and a server that closed it without a word.
    "error connecting to server",
    "error communicating with the server",
    "connection closed",
    // MariaDB.
    "Input/output error",
    "Connection to the server is closed",
    // SQLite.
    "unable to open database file",
];

/// Returns whether no server answered. `false` if that is unclear.
pub(super) fn is_unreached(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |&error| error.source()).any(|cause| {
        let said = cause.to_string();
        cause.is::<io::Error>()
            || UNREACHED
                .iter()
                .any(|beginning| said.starts_with(beginning))
    })
}

#[cfg(test)]
mod tests {
    use diesel::ConnectionError;
    use diesel::result::{DatabaseErrorKind, Error};

    use super::*;

    #[test]
    fn only_errors_of_the_network_or_the_file_are_unreached() {
        let bad = |said: &str| ConnectionError::BadConnection(said.to_owned());
        let configured = |kind, said: &str| {
            let error = Error::DatabaseError(kind, Box::new(said.to_owned()));
            ConnectionError::CouldntSetupConfiguration(error)
        };
        for lost in [
            bad("error connecting to server: Connection refused (os error 111)"),
            bad("Input/output error: Connection refused (os error 111)"),
            bad("unable to open database file"),
            configured(
                DatabaseErrorKind::UnableToSendCommand,
                "error connecting to server",
            ),
        ] {
            assert!(is_unreached(&lost), "{lost}");
        }
        assert!(is_unreached(&io::Error::other("no route to host")));
        for refusal in [
            bad("db error: FATAL: password authentication failed for user \"app\""),
            bad("db error"),
            bad("invalid configuration: password missing"),
            bad("error performing TLS handshake: server does not support TLS"),
            bad("an error of a setup of the application"),
            configured(
                DatabaseErrorKind::Unknown,
                "Access denied for user 'app'@'localhost'",
            ),
            configured(DatabaseErrorKind::Unknown, "file is not a database"),
        ] {
            assert!(!is_unreached(&refusal), "{refusal}");
        }
    }
}
