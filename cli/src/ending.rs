//! The ending of a command, and its exit code.

use std::fmt;

/// The ending of a command that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Ending {
    /// All is well: 0.
    Well,
    /// Something was found, left undone or failed: 1.
    Findings,
}

impl Ending {
    pub(crate) fn well_if(well: bool) -> Self {
        if well { Self::Well } else { Self::Findings }
    }
}

/// The reason why a command did nothing: 2.
#[derive(Debug)]
pub(crate) struct Refusal(String);

impl Refusal {
    pub(crate) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the message of an error with those of its causes.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
