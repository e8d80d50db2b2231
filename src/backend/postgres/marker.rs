//! The marker of a unit on PostgreSQL: a setting that is local to its transaction.

use crate::backend::Terms;
use crate::backend::message::{Part, display_parts, sql};

/// The text of the error when the marker is gone. The error contains it in any language of the server.
pub(super) const MARKER_LOST: &str = "diesel_binds: the transaction of the unit is gone";

/// A statement that fails, in any state of the connection, unless this is the transaction that the unit began.
///
/// In an aborted transaction, `COMMIT` and `PREPARE TRANSACTION` succeed and keep nothing. After a `COMMIT` of the
/// application there is no transaction at all. A message stops at its first error, so this statement is the first in
/// it.
pub(super) struct UseUpMarker<'t>(pub(super) &'t Terms);

impl Part for UseUpMarker<'_> {
    fn append_to(&self, message: &mut String) {
        sql! {
            message; "SELECT CAST(CASE WHEN ", IsMarked(self.0), " THEN '1' ELSE '", MARKER_LOST,
            "' END AS pg_catalog.int4)",
        }
    }
}

display_parts!(UseUpMarker<'_>);

/// A condition that holds in the transaction with the marker of the unit.
pub(super) struct IsMarked<'t>(pub(super) &'t Terms);

impl Part for IsMarked<'_> {
    fn append_to(&self, message: &mut String) {
        sql! {
            message; "coalesce(pg_catalog.current_setting('diesel_binds.unit', true), '') = '", self.0.marker(), "'",
        }
    }
}
