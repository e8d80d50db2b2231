//! The role that a unit set for its transaction.

use std::borrow::Cow;
use std::fmt;

use crate::backend::Terms;

/// Statements that end a `SET LOCAL ROLE` of the application. Deferred checks and triggers run before, with the rights
/// of that role.
pub(super) struct LeaveRole<'t>(pub(super) &'t Terms);

impl fmt::Display for LeaveRole<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let role = escaped(&self.0.server.session.role);
        write!(
            f,
            "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL role = E'{role}'"
        )
    }
}

/// Escapes the name of a role, which may contain any character.
fn escaped(role: &str) -> Cow<'_, str> {
    match role.contains(['\'', '\\']) {
        true => role.replace('\\', "\\\\").replace('\'', "''").into(),
        false => role.into(),
    }
}
