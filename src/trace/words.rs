//! The words of spans and metrics: for the results of units and passes, for servers and for errors.

use std::fmt;

/// The end of a unit, in the words of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UnitResult {
    Committed,
    /// The savepoints of the unit are released: outer transactions keep or lose it.
    Released,
    RolledBack,
    /// Some binds committed and others did not.
    Partial,
    InDoubt,
    Unknown,
}

impl UnitResult {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Released => "released",
            Self::RolledBack => "rolled back",
            Self::Partial => "partial",
            Self::InDoubt => "in doubt",
            Self::Unknown => "unknown",
        }
    }
}

/// The end of a pass of recovery, in the words of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassResult {
    /// All binds were read, and nothing is left in doubt.
    Complete,
    /// All binds were read, and a branch is left that cannot be finished yet, or not by this process.
    InDoubt,
    /// A database could not be asked, or refused a statement.
    Failed,
    /// The pass was dropped before its end.
    Stopped,
}

impl PassResult {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::InDoubt => "in doubt",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
        }
    }
}

/// The server that a transaction runs on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ServerAttributes<'a> {
    pub(crate) bind: &'static str,
    /// `db.system.name`.
    pub(crate) system: &'static str,
    /// `db.namespace`.
    pub(crate) database: &'a str,
}

/// Returns the name of an error, without any text of a server.
pub(super) fn error_type(error: &diesel::result::Error) -> String {
    match error {
        diesel::result::Error::DatabaseError(kind, _) => variant(kind),
        error => variant(error),
    }
}

/// Returns the SQLSTATE of an error, if its kind shows it. diesel-async passes on no code. But it makes each of these kinds
/// of one SQLSTATE of PostgreSQL, while it makes one kind of several numbers of MySQL.
pub(super) fn status_code(system: &str, error: &diesel::result::Error) -> Option<&'static str> {
    use diesel::result::{DatabaseErrorKind as Kind, Error};

    let Error::DatabaseError(kind, _) = error else {
        return None;
    };
    match (system, kind) {
        ("postgresql", Kind::UniqueViolation) => Some("23505"),
        ("postgresql", Kind::ForeignKeyViolation) => Some("23503"),
        ("postgresql", Kind::RestrictViolation) => Some("23001"),
        ("postgresql", Kind::ExclusionViolation) => Some("23P01"),
        ("postgresql", Kind::NotNullViolation) => Some("23502"),
        ("postgresql", Kind::CheckViolation) => Some("23514"),
        ("postgresql", Kind::SerializationFailure) => Some("40001"),
        ("postgresql", Kind::ReadOnlyTransaction) => Some("25006"),
        _ => None,
    }
}

/// Returns the name of the variant of an error, without its contents.
pub(super) fn variant(error: &dyn fmt::Debug) -> String {
    // The library's errors print their messages in `{:?}`, and their variants only in `{:#?}`.
    let mut words = format!("{error:#?}");
    let end = words.find(|c: char| !c.is_ascii_alphanumeric());
    words.truncate(end.unwrap_or(words.len()));
    words
}
