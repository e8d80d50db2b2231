//! The marker of a unit on PostgreSQL: a setting that is local to its transaction.

use std::fmt;

use crate::backend::Terms;

/// The text of the error when the marker is gone. The error contains it in any language of the server.
pub(super) const MARKER_LOST: &str = "diesel_binds: the transaction of the unit is gone";

/// A statement that fails, in any state of the connection, unless this is the transaction that the unit began.
///
/// In an aborted transaction, `COMMIT` and `PREPARE TRANSACTION` succeed and keep nothing. After a `COMMIT` of the
/// application there is no transaction at all. A message stops at its first error, so this statement is the first in
/// it.
pub(super) struct UseUpMarker<'t>(pub(super) &'t Terms);

impl fmt::Display for UseUpMarker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_marked = IsMarked(self.0);
        write!(
            f,
            "SELECT CAST(CASE WHEN {is_marked} THEN '1' ELSE '{MARKER_LOST}' END AS pg_catalog.int4)"
        )
    }
}

/// A condition that holds in the transaction with the marker of the unit.
pub(super) struct IsMarked<'t>(pub(super) &'t Terms);

impl fmt::Display for IsMarked<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let marker = self.0.marker();
        write!(
            f,
            "coalesce(pg_catalog.current_setting('diesel_binds.unit', true), '') = '{marker}'"
        )
    }
}
