//! How a transaction of a unit begins on MySQL and MariaDB, and how what it has set on the connection is put back.

use std::time::Duration;

use crate::backend::mysql::probe::{WRITES, counts_writes};
use crate::backend::mysql::{is_branch, xid};
use crate::backend::{Terms, sql};

/// Begins, and leaves the marker.
pub(super) fn begin(terms: &Terms) -> String {
    // A deadlock, or DDL, ends a plain transaction behind the back of the application. Without autocommit, what it
    // then writes goes into one without a marker, which never commits. An XA branch refuses all that by itself.
    let (before, start) = if is_branch(terms) {
        ("", format!("XA START {}", xid(terms)))
    } else if terms.read_only {
        ("SET autocommit = 0; ", "START TRANSACTION READ ONLY".into())
    } else {
        ("SET autocommit = 0; ", "START TRANSACTION".into())
    };
    // Holds for the next transaction, and so for no other than this.
    let isolation = match terms.settings.isolation {
        Some(level) => format!("SET TRANSACTION ISOLATION LEVEL {}; ", level.sql()),
        None => String::new(),
    };
    let count = if counts_writes(terms) {
        format!("; SET @diesel_binds_writes = {WRITES}")
    } else {
        String::new()
    };
    format!(
        "{}{before}{}{isolation}{start}; SET @diesel_binds_warnings = NULL; SAVEPOINT {}{}{count}",
        sql::tag(terms),
        limits(terms),
        sql::MARKER,
        sql::open_savepoints(terms.savepoints)
    )
}

/// Sets the limits that the unit asks for, and keeps what the connection had. There is none that ends with the
/// transaction.
fn limits(terms: &Terms) -> String {
    let mut set = String::new();
    if let Some(limit) = terms.settings.statement_timeout {
        // At most a year, and never 0, which is none.
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

/// Puts back what [`begin`] has set, as statements behind others. Where they stand before the end of the transaction,
/// one that fails keeps it from committing; the connection is then thrown away.
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
