//! The begin of a unit's transaction on SQLite, and restoring the settings that it changes.

use diesel::connection::{AnsiTransactionManager, SimpleConnection as _};
use diesel::{QueryResult, SqliteConnection};

use crate::backend::settings::milliseconds;
use crate::backend::sqlite::attach;
use crate::backend::sqlite::pragma::{busy_timeout, number, synchronous, written};
use crate::backend::{PriorState, Terms, sql};

/// The number of `synchronous = FULL`.
const FULL: i64 = 2;

/// Begins the transaction, and leaves the marker.
pub(super) fn begin(connection: &mut SqliteConnection, terms: &Terms) -> QueryResult<PriorState> {
    // A deferred transaction cannot wait for a lock when it turns from reading to writing, whatever the timeout.
    let begin = if terms.read_only {
        "BEGIN DEFERRED"
    } else {
        "BEGIN IMMEDIATE"
    };
    if terms.server.session.keeps_no_journal {
        return Err(attach::refusal(
            "the connection has `journal_mode = OFF`: SQLite could not roll back; set another one when a connection is opened"
                .to_owned(),
        ));
    }
    let before = busy_timeout(connection)?;
    let limit = limit(terms, before);
    if limit != before {
        connection.batch_execute(&format!("PRAGMA busy_timeout = {limit}"))?;
    }
    // A commit deletes its journal. With FULL, a loss of power may bring the journal back, which undoes the commit. A commit
    // of several files does not need it: it deletes a journal of its own in a durable way.
    let synchronous = terms.may_record && !terms.read_only && synchronous(connection)? == FULL;
    if synchronous {
        connection.batch_execute("PRAGMA main.synchronous = EXTRA")?;
    }
    let attached = attach::attach(connection, &terms.attached)?;
    let mut query_only = false;
    if terms.read_only {
        // A read-only unit cannot be torn. Within the transaction, the check would lock files that the unit may never
        // read.
        attach::verify(connection, &terms.attached)?;
        query_only = number(
            connection,
            "SELECT query_only AS value FROM pragma_query_only",
        )? != 0;
        connection.batch_execute("PRAGMA query_only = ON")?;
    }
    let message = format!(
        "{}{begin}; SAVEPOINT {}{}",
        sql::tag(terms),
        sql::marker(terms),
        sql::open_savepoints(terms.savepoints)
    );
    AnsiTransactionManager::begin_transaction_sql(connection, &message)?;
    if !terms.read_only {
        attach::verify(connection, &terms.attached)?;
    }
    Ok(PriorState {
        depth: 1,
        written: written(connection)?,
        synchronous,
        busy_timeout: (limit != before).then_some(before),
        query_only,
        attached,
    })
}

/// Returns the limit for waiting for locks, in milliseconds. `before` is the limit of the connection.
fn limit(terms: &Terms, before: i64) -> i64 {
    let limit = match terms.settings.lock_timeout {
        Some(limit) => i64::from(milliseconds(limit)),
        None if before == 0 => i64::from(milliseconds(terms.lock_timeout)),
        None => before,
    };
    match terms.time_left {
        Some(left) => limit.min(i64::from(milliseconds(left))),
        None => limit,
    }
}

/// Restores the settings that [`begin`] has changed, which must not reach the next user of the connection.
pub(super) fn put_back(connection: &mut SqliteConnection, terms: &Terms) -> QueryResult<()> {
    attach::detach(connection, &terms.attached, terms.prior.attached)?;
    if terms.read_only && !terms.prior.query_only {
        connection.batch_execute("PRAGMA query_only = OFF")?;
    }
    if terms.prior.synchronous {
        connection.batch_execute("PRAGMA main.synchronous = FULL")?;
    }
    if let Some(before) = terms.prior.busy_timeout {
        connection.batch_execute(&format!("PRAGMA busy_timeout = {before}"))?;
    }
    Ok(())
}
