//! The words of spans and metrics: how a unit and a pass of recovery ended, where something ran, what went wrong.

use std::fmt;

/// How a unit ended, in the words of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Committed,
    /// Transactions of others decide.
    Joined,
    RolledBack,
    /// Some binds committed and others did not.
    Partial,
    InDoubt,
    Unknown,
}

impl Ends {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Joined => "joined",
            Self::RolledBack => "rolled back",
            Self::Partial => "partial",
            Self::InDoubt => "in doubt",
            Self::Unknown => "unknown",
        }
    }
}

/// How a pass of recovery ended, in the words of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PassEnds {
    /// All binds were seen, and nothing is left in doubt.
    Complete,
    /// All were seen, and something is left that cannot be finished yet, or not by this process.
    InDoubt,
    /// A database could not be asked, or refused.
    Failed,
    /// It was dropped in the middle.
    Stopped,
}

impl PassEnds {
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
pub(crate) struct Place<'a> {
    pub(crate) bind: &'static str,
    /// `db.system.name`.
    pub(crate) system: &'static str,
    /// `db.namespace`.
    pub(crate) database: &'a str,
}

/// A word for an error, without anything that the server said.
pub(super) fn error_type(error: &diesel::result::Error) -> String {
    match error {
        diesel::result::Error::DatabaseError(kind, _) => variant(kind),
        error => variant(error),
    }
}

/// The name of the variant of an error, without anything that is in it.
pub(super) fn variant(error: &dyn fmt::Debug) -> String {
    // Our errors say in `{:?}` what they say, and only in this form how they are made.
    let mut words = format!("{error:#?}");
    let end = words.find(|c: char| !c.is_ascii_alphanumeric());
    words.truncate(end.unwrap_or(words.len()));
    words
}
