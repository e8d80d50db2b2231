//! The begin of a unit's transaction on MySQL and MariaDB, and restoring the settings that it changes.

use std::time::Duration;

use crate::backend::message::sql;
use crate::backend::mysql::writes::{WRITES, counts_writes};
use crate::backend::mysql::{is_branch, is_mariadb, xid};
use crate::backend::{Terms, sql};

/// Writes the message that begins the transaction and leaves the marker.
pub(super) fn begin(terms: &Terms) -> String {
    // A deadlock or DDL ends a plain transaction without the application's knowledge. Without autocommit, later writes
    // go into a transaction without a marker, which never commits. An XA branch refuses all that by itself.
    let (hold_autocommit, start) = if is_branch(terms) {
        ("", sql! { "XA START ", xid(terms) })
    } else if terms.read_only {
        (HOLD_AUTOCOMMIT, "START TRANSACTION READ ONLY".to_owned())
    } else {
        (HOLD_AUTOCOMMIT, "START TRANSACTION".to_owned())
    };
    // The level holds only for the next transaction, which is this one.
    let isolation = match terms.settings.isolation {
        Some(level) => format!("SET TRANSACTION ISOLATION LEVEL {}; ", level.sql()),
        None => String::new(),
    };
    let count = if counts_writes(terms) {
        format!("; SET @diesel_binds_writes = {WRITES}")
    } else {
        String::new()
    };
    sql! {
        sql::tag(terms), "SET ", hold_autocommit,
        "@diesel_binds_warnings = NULL, @diesel_binds_connection = CONNECTION_ID(), @diesel_binds_unit = '",
        terms.marker(), "'; ", limits(terms), isolation, start, "; SAVEPOINT ", sql::last_marker(terms),
        "; SAVEPOINT ", sql::marker(terms), sql::open_savepoints(terms.savepoints), count,
    }
}

/// The part of a `SET` that turns autocommit off, and saves the value of the connection.
const HOLD_AUTOCOMMIT: &str = "@diesel_binds_autocommit = @@SESSION.autocommit, autocommit = 0, ";

/// Restores autocommit, as a statement after the end of the transaction.
pub(super) const PUT_BACK_AUTOCOMMIT: &str = "SET autocommit = @diesel_binds_autocommit";

/// Commits, and restores autocommit. Nothing in it can fail after the commit: an invalid value of a variable fails
/// before any variable is set. On MariaDB the value is invalid if the server has ended the transaction meanwhile.
///
/// `SET TRANSACTION ISOLATION LEVEL` holds until a `COMMIT` or `ROLLBACK`. This statement is neither. So the level
/// would hold for later transactions, whatever `@@tx_isolation` shows. Setting the variable ends that.
pub(super) fn commit_by_autocommit(terms: &Terms) -> &'static str {
    match is_mariadb(&terms.server.version) {
        true => {
            "SET autocommit = IF(@@in_transaction, 'ON', 'the server has ended the transaction'), \
             autocommit = @diesel_binds_autocommit, SESSION tx_isolation = @@SESSION.tx_isolation"
        }
        false => {
            "SET autocommit = 1, autocommit = @diesel_binds_autocommit, \
             SESSION transaction_isolation = @@SESSION.transaction_isolation"
        }
    }
}

/// Sets the limits of the unit, and saves those of the connection. No limit of the server ends with the transaction.
fn limits(terms: &Terms) -> String {
    let mut set = String::new();
    if let Some(limit) = terms.settings.statement_timeout {
        // At most a year, and never 0, which means no limit.
        let limit = limit.clamp(Duration::from_micros(1), Duration::from_secs(31_536_000));
        set.push_str(&format!(
            "SET @diesel_binds_statement = @@SESSION.max_statement_time, SESSION max_statement_time = {}.{:06}; ",
            limit.as_secs(),
            limit.subsec_micros()
        ));
    }
    if let Some(limit) = terms.settings.lock_timeout {
        let limit = limit.as_secs().min(31_536_000);
        set.push_str(&format!(
            "SET @diesel_binds_row_lock = @@SESSION.innodb_lock_wait_timeout, \
             @diesel_binds_table_lock = @@SESSION.lock_wait_timeout, \
             SESSION innodb_lock_wait_timeout = {limit}, SESSION lock_wait_timeout = {limit}; "
        ));
    }
    set
}

/// Restores the settings that [`begin`] has changed, as statements behind others. If one fails before the end of the
/// transaction, it prevents the commit; the connection is then closed.
pub(super) fn put_back(terms: &Terms) -> String {
    let mut set = String::new();
    if terms.settings.statement_timeout.is_some() {
        set.push_str("; SET SESSION max_statement_time = @diesel_binds_statement");
    }
    if terms.settings.lock_timeout.is_some() {
        set.push_str(
            "; SET SESSION innodb_lock_wait_timeout = @diesel_binds_row_lock, \
             SESSION lock_wait_timeout = @diesel_binds_table_lock",
        );
    }
    set
}
