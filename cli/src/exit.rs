//! The exit of a command, with its code.

use std::fmt;

/// The exit of a command that could do its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Exit {
    /// All is well: 0.
    Success,
    /// Something was found, left undone or failed: 1.
    Findings,
}

impl Exit {
    pub(crate) fn success_if(success: bool) -> Self {
        if success {
            Self::Success
        } else {
            Self::Findings
        }
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
