//! Errors about the connection and not about the statement: its prepared statements no longer fit the database.
//!
//! diesel-async passes on no SQLSTATE, so these errors are recognized by their texts. If the server speaks another
//! language, each error without a kind of its own may be one of them.

use diesel::result::{DatabaseErrorKind, Error};

use crate::backend::SessionDefaults;

/// The state of a connection after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Staleness {
    /// The error is about the statement.
    Fresh,
    /// The error does not show its subject: the connection is better closed.
    Unknown,
    /// Prepared statements of the connection no longer fit the database. Another connection may succeed.
    Stale,
}

/// Texts of such errors. A star stands for any text, and a number sign for a number.
pub(super) type Texts = [&'static str];

/// Judges a connection by an error of its statement.
pub(super) fn staleness(error: &Error, texts: &Texts, session: &SessionDefaults) -> Staleness {
    let Error::DatabaseError(DatabaseErrorKind::Unknown, information) = error else {
        return Staleness::Fresh;
    };
    let is_stale = is_one_of(texts, information.message());
    match (is_stale, session.english) {
        (true, _) => Staleness::Stale,
        (false, true) => Staleness::Fresh,
        (false, false) => Staleness::Unknown,
    }
}

/// Returns whether an error of the server has one of the texts.
#[cfg(feature = "mysql")]
pub(super) fn has_text(error: &Error, texts: &Texts) -> bool {
    matches!(error, Error::DatabaseError(_, information) if is_one_of(texts, information.message()))
}

fn is_one_of(texts: &Texts, message: &str) -> bool {
    texts.iter().any(|text| fits(text, message))
}

fn fits(text: &str, message: &str) -> bool {
    let Some((start, end)) = text.split_once(['*', '#']) else {
        return message == text;
    };
    let Some(middle) = message
        .strip_prefix(start)
        .and_then(|rest| rest.strip_suffix(end))
    else {
        return false;
    };
    text.contains('*') || (!middle.is_empty() && middle.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: &Texts = &["the plan is old", "no such type *", "statement s# is gone"];

    fn of(kind: DatabaseErrorKind, message: &str, english: bool) -> Staleness {
        let session = SessionDefaults {
            english,
            ..SessionDefaults::default()
        };
        let error = Error::DatabaseError(kind, Box::new(message.to_owned()));
        staleness(&error, TEXTS, &session)
    }

    #[test]
    fn an_error_about_the_connection_is_recognized_by_its_text() {
        use DatabaseErrorKind::{UniqueViolation, Unknown};

        assert_eq!(of(Unknown, "the plan is old", true), Staleness::Stale);
        assert_eq!(of(Unknown, "no such type 7", false), Staleness::Stale);
        assert_eq!(of(Unknown, "statement s1 is gone", true), Staleness::Stale);
        assert_eq!(of(Unknown, "statement s1 is there", true), Staleness::Fresh);
        assert_eq!(of(Unknown, "statement sum is gone", true), Staleness::Fresh);
        assert_eq!(of(Unknown, "statement s is gone", true), Staleness::Fresh);
        assert_eq!(of(Unknown, "so: the plan is old", true), Staleness::Fresh);
        assert_eq!(of(Unknown, "der Plan ist alt", false), Staleness::Unknown);
        assert_eq!(of(UniqueViolation, "ist da", false), Staleness::Fresh);
    }
}
