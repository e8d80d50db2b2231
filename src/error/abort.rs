//! The reason why a unit can only be rolled back.

use std::fmt;

/// The reason why a unit can only be rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AbortReason {
    /// The future of a statement, savepoint or begin was dropped before it completed.
    Incomplete,
    /// The pool gave no connection for a statement, or its transaction could not begin. Without the statement, the rest
    /// of the unit would be committed alone.
    NotBegun,
    /// The deadline passed during a statement.
    DeadlineExceeded,
    /// The transaction of the unit has ended: by a `COMMIT` or `ROLLBACK` of the application, or by the server after an
    /// error.
    TransactionEnded,
    /// A nested transaction was left open on the raw connection, usually because its future was dropped.
    NestedTransaction,
    /// Nested work of the unit failed ([`Propagation::Join`](crate::Propagation::Join)).
    NestedWorkFailed,
    /// A hook before the commit was dropped, or panicked, before it agreed.
    Hook,
    /// The unit is older than the records that databases keep of units. It was open for too long, or the id of its
    /// session was read long before it began. If the process died, its outcome could not be found out.
    OutlivedRecords,
    /// The session, or its raw connection, was lent to the application, which put another one in its place
    /// (`mem::swap`, `mem::replace`).
    Exchanged,
}

impl fmt::Display for AbortReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incomplete => "a statement was dropped before it completed",
            Self::NotBegun => "a statement could not begin",
            Self::DeadlineExceeded => "the deadline passed during a statement",
            Self::TransactionEnded => {
                "its transaction was ended by a `COMMIT` or `ROLLBACK` of the application or by the server after an \
                 error"
            }
            Self::NestedTransaction => "a nested transaction was left open on the raw connection",
            Self::NestedWorkFailed => "nested work of the unit failed",
            Self::Hook => "a hook before the commit was dropped or panicked",
            Self::OutlivedRecords => "the unit is older than the records that databases keep of units",
            Self::Exchanged => {
                "the session or connection that was lent was replaced by another one; do not swap it"
            }
        })
    }
}
