//! Counts of the writes of a transaction on MySQL and MariaDB.

use crate::backend::Terms;
use crate::backend::message::{Part, sql};
use crate::backend::mysql::flavour::Flavour;

/// Returns the expression for the number of rows that this session has written so far, by any statement. MySQL also
/// counts rows of its own temporary tables, such as those of a `GROUP BY`, and counts nothing with
/// `performance_schema = OFF`.
pub(super) fn writes(terms: &Terms) -> &'static str {
    match Flavour::of(terms) {
        Flavour::MariaDb => {
            "(SELECT SUM(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS \
             WHERE VARIABLE_NAME IN ('HANDLER_WRITE', 'HANDLER_UPDATE', 'HANDLER_DELETE'))"
        }
        Flavour::MySql => {
            "(SELECT SUM(VARIABLE_VALUE) FROM performance_schema.session_status \
             WHERE VARIABLE_NAME IN ('Handler_write', 'Handler_update', 'Handler_delete'))"
        }
    }
}

/// Clears the warnings of the statement before: savepoints and the end of a transaction keep them, and a statement that
/// has a table does not. A `DO` would turn a `KILL QUERY` into a warning and succeed.
pub(super) const CLEAR_WARNINGS: &str =
    "SET @diesel_binds_stands = (SELECT 1 FROM (SELECT 1) AS cleared)";

/// The statements that count the warnings of an empty roll-back. The server warns if a table without transactions was
/// changed, by a flag that it keeps for the whole transaction.
pub(super) struct NonTransactionalCheck;

impl Part for NonTransactionalCheck {
    fn append_to(&self, message: &mut String) {
        sql! {
            message; CLEAR_WARNINGS,
            "; SAVEPOINT diesel_binds_check; ROLLBACK TO SAVEPOINT diesel_binds_check; \
             SET @diesel_binds_warnings = @@warning_count",
        }
    }
}

/// Returns whether the writes of the unit are counted.
pub(super) fn counts_writes(terms: &Terms) -> bool {
    terms.verify_reads && !terms.read_only
}

/// Returns a statement that fails unless a condition holds: a scalar subquery of two rows. The condition is in
/// parentheses, because `NOT` binds more tightly in some modes of SQL.
pub(super) fn fail_unless(condition: impl Part) -> String {
    sql! { "SET @diesel_binds_stands = (SELECT 1 UNION ALL SELECT 2 FROM DUAL WHERE NOT (", condition, "))" }
}
