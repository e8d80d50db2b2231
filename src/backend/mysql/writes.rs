//! Counts of the writes of a transaction on MySQL and MariaDB.

use crate::backend::Terms;
use crate::backend::mysql::is_mariadb;

/// The writes of this session so far: each row counts, whoever asked for it.
pub(super) const WRITES: &str = "(SELECT SUM(VARIABLE_VALUE) FROM information_schema.SESSION_STATUS \
                      WHERE VARIABLE_NAME IN ('HANDLER_WRITE', 'HANDLER_UPDATE', 'HANDLER_DELETE'))";

/// Undoing nothing warns when a table without transactions was changed: the server keeps a flag for the whole
/// transaction. `SET` keeps the list of warnings, and so do savepoints: that of the statement before is cleared first, by
/// one that has a table.
pub(super) const NOTE_NON_TRANSACTIONAL: &str = "DO (SELECT 1 FROM (SELECT 1) AS cleared); \
     SAVEPOINT diesel_binds_check; ROLLBACK TO SAVEPOINT diesel_binds_check; \
     SET @diesel_binds_warnings = @@warning_count";

/// Returns whether the writes of the unit are counted.
pub(super) fn counts_writes(terms: &Terms) -> bool {
    terms.verify_reads && !terms.read_only && is_mariadb(&terms.server.version)
}
