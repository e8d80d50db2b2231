//! The role that a unit set for its transaction.

use std::borrow::Cow;

use crate::backend::Terms;
use crate::backend::message::{Part, display_parts, sql};

/// Statements that end a `SET LOCAL ROLE` of the application. Deferred checks and triggers run before, with the rights
/// of that role.
pub(super) struct LeaveRole<'t>(pub(super) &'t Terms);

impl Part for LeaveRole<'_> {
    fn append_to(&self, message: &mut String) {
        let role = escaped(&self.0.server.session.role);
        sql! { message; "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL role = E'", &*role, "'" }
    }
}

display_parts!(LeaveRole<'_>);

/// Escapes the name of a role, which may contain any character.
fn escaped(role: &str) -> Cow<'_, str> {
    match role.contains(['\'', '\\']) {
        true => role.replace('\\', "\\\\").replace('\'', "''").into(),
        false => role.into(),
    }
}
