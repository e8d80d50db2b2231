//! The event that a unit was waiting for when its deadline passed.

use std::fmt;

/// The operation that a unit was waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Waiting {
    /// A connection of the pool.
    Connection,
    /// The reply to a statement, which usually waits for a lock.
    Statement,
    /// The end of a hook of the application.
    Hook,
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "a connection",
            Self::Statement => "a statement",
            Self::Hook => "a hook",
        })
    }
}
