//! The begin of a unit's transaction on MySQL and MariaDB, and restoring the settings that it changes.

use std::time::Duration;

use crate::backend::message::sql;
use crate::backend::mysql::flavour::Flavour;
use crate::backend::mysql::writes::{counts_writes, writes};
use crate::backend::mysql::{is_branch, xid};
use crate::backend::{Terms, sql};

/// Writes the message that begins the transaction and leaves the marker.
pub(super) fn begin(terms: &Terms) -> String {
    let hold_autocommit = match holds_autocommit(terms) {
        true => HOLD_AUTOCOMMIT,
        false => "",
    };
    let start = if is_branch(terms) {
        sql! { "XA START ", xid(terms) }
    } else if terms.read_only {
        "START TRANSACTION READ ONLY".to_owned()
    } else {
        "START TRANSACTION".to_owned()
    };
    // The level holds only for the next transaction, which is this one.
    let isolation = match terms.settings.isolation {
        Some(level) => format!("SET TRANSACTION ISOLATION LEVEL {}; ", level.sql()),
        None => String::new(),
    };
    let count = if counts_writes(terms) {
        format!("; SET @diesel_binds_writes = {}", writes(terms))
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

/// Returns whether the connection is without autocommit until the end of the transaction.
///
/// A deadlock or DDL ends a plain transaction without the application's knowledge. Without autocommit, later writes go
/// into a transaction without a marker, which never commits. An XA branch refuses all that by itself, but the
/// application may end it. MariaDB then tells that no transaction is open, also within a statement. MySQL does not.
fn holds_autocommit(terms: &Terms) -> bool {
    !is_branch(terms) || Flavour::of(terms) == Flavour::MySql
}

/// The part of a `SET` that turns autocommit off, and saves the value of the connection.
const HOLD_AUTOCOMMIT: &str = "@diesel_binds_autocommit = @@SESSION.autocommit, autocommit = 0, ";

/// Restores autocommit, as a statement behind the end of a plain transaction.
pub(super) const PUT_BACK_AUTOCOMMIT: &str = "; SET autocommit = @diesel_binds_autocommit";

/// Restores autocommit, as a statement behind the end of a branch.
pub(super) fn put_back_autocommit(terms: &Terms) -> &'static str {
    match holds_autocommit(terms) {
        true => PUT_BACK_AUTOCOMMIT,
        false => "",
    }
}

/// Commits, and restores autocommit. Nothing in it can fail after the commit: an invalid value of a variable fails
/// before any variable is set. The value is invalid if the server has ended the transaction meanwhile. MySQL shows that
/// only by `row`, the condition that a row of the transaction is there.
///
/// `SET TRANSACTION ISOLATION LEVEL` holds until a `COMMIT` or `ROLLBACK`. This statement is neither. So the level
/// would hold for later transactions, whatever `@@tx_isolation` shows. Setting the variable ends that.
pub(super) fn commit_by_autocommit(terms: &Terms, row: Option<&str>) -> String {
    let (is_open, isolation) = match Flavour::of(terms) {
        Flavour::MariaDb => ("@@in_transaction", "tx_isolation"),
        Flavour::MySql => (row.unwrap_or("TRUE"), "transaction_isolation"),
    };
    sql! {
        "SET autocommit = IF(", is_open, ", 'ON', 'the server has ended the transaction'), \
         autocommit = @diesel_binds_autocommit, SESSION ", isolation, " = @@SESSION.", isolation,
    }
}

/// Sets the limits of the unit, and saves those of the connection. No limit of the server ends with the transaction.
fn limits(terms: &Terms) -> String {
    let mut set = String::new();
    if let Some(limit) = terms.settings.statement_timeout {
        // At most a year, and never 0, which means no limit.
        let limit = limit.clamp(Duration::from_micros(1), Duration::from_secs(31_536_000));
        let variable = statement_limit(terms);
        let limit = match Flavour::of(terms) {
            Flavour::MariaDb => format!("{}.{:06}", limit.as_secs(), limit.subsec_micros()),
            Flavour::MySql => limit.as_nanos().div_ceil(1_000_000).to_string(),
        };
        set.push_str(&format!(
            "SET @diesel_binds_statement = @@SESSION.{variable}, SESSION {variable} = {limit}; "
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

/// Returns the variable that limits the time of a statement: in seconds on MariaDB; on MySQL in milliseconds, and only
/// of a `SELECT`.
fn statement_limit(terms: &Terms) -> &'static str {
    match Flavour::of(terms) {
        Flavour::MariaDb => "max_statement_time",
        Flavour::MySql => "max_execution_time",
    }
}

/// Restores the settings that [`begin`] has changed, as statements behind others. If one fails before the end of the
/// transaction, it prevents the commit; the connection is then closed.
pub(super) fn put_back(terms: &Terms) -> String {
    let mut set = String::new();
    if terms.settings.statement_timeout.is_some() {
        let variable = statement_limit(terms);
        set.push_str(&format!(
            "; SET SESSION {variable} = @diesel_binds_statement"
        ));
    }
    if terms.settings.lock_timeout.is_some() {
        set.push_str(
            "; SET SESSION innodb_lock_wait_timeout = @diesel_binds_row_lock, \
             SESSION lock_wait_timeout = @diesel_binds_table_lock",
        );
    }
    set
}
