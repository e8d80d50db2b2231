//! How a transaction of a unit ends on MySQL and MariaDB: the marker is used up first in every message.

use diesel::{QueryResult, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::mysql::{Flag, begin, is_branch, join, probe, verb, xid};
use crate::backend::{AloneFault, Terms, internals, sql};
use crate::commit::{Decision, Fault, Outcome};
use crate::gid::{Branch, Gid};

/// Undoing nothing warns when a table without transactions was changed: the server keeps a flag for the whole
/// transaction. `SET` keeps the list of warnings, and so do savepoints: that of the statement before is cleared first, by
/// one that has a table.
pub(super) const NOTE_NON_TRANSACTIONAL: &str = "DO (SELECT 1 FROM (SELECT 1) AS cleared); \
     SAVEPOINT diesel_binds_check; ROLLBACK TO SAVEPOINT diesel_binds_check; \
     SET @diesel_binds_warnings = @@warning_count";

/// Prepares.
pub(super) async fn prepare(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
    branch: &Branch,
) -> Result<(), Fault> {
    let xid = xid(terms);
    let Gid {
        unit,
        holder,
        holder_id,
        namespace,
    } = &branch.gid;
    let message = format!(
        "RELEASE SAVEPOINT {}{}; {NOTE_NON_TRANSACTIONAL}; \
         INSERT INTO {}diesel_binds_branch (unit, branch, holder, holder_id, connection_id, namespace) \
         VALUES (IF(@diesel_binds_warnings = 0, '{unit}', NULL), '{}', '{holder}', '{holder_id}', CONNECTION_ID(), \
         '{namespace}'); \
         XA END {xid}; XA PREPARE {xid}",
        sql::MARKER,
        begin::put_back(terms),
        terms.server.schema,
        branch.bind,
    );
    match connection.batch_execute(&message).await {
        Ok(()) => Ok(()),
        Err(error) => Err(explain(connection, error).await),
    }
}

/// Commits what nobody else has a part in.
pub(super) async fn commit(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> Result<(), AloneFault> {
    let message = format!(
        "RELEASE SAVEPOINT {}{}; {}",
        sql::MARKER,
        begin::put_back(terms),
        commit_statement(terms)
    );
    let Err(error) = connection.batch_execute(&message).await else {
        internals::leave(internals::status(connection));
        return Ok(());
    };
    let marker_gone = mentions_marker(&error);
    let fault = match roll_back(connection, terms).await {
        // The branch was still there to roll back: whatever failed, it did not commit.
        Ok(()) if is_branch(terms) => Fault::Refused(error),
        Ok(()) if marker_gone => Fault::Ended(error),
        Ok(()) => Fault::Refused(error),
        Err(_) if marker_gone && probe::answer(connection, terms).await.is_ok() => {
            Fault::Ended(error)
        }
        Err(_) if mentions_rollback(&error) && probe::answer(connection, terms).await.is_ok() => {
            Fault::Refused(error)
        }
        // It is gone, and nobody said how it ended.
        Err(_) => Fault::Lost(error),
    };
    Err(AloneFault {
        fault,
        transaction: None,
    })
}

/// Commits together with the record of the decision.
pub(super) async fn decide(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
    decision: &Decision,
) -> Result<(), Fault> {
    let message = format!(
        "RELEASE SAVEPOINT {}{}; {NOTE_NON_TRANSACTIONAL}; {}; {}",
        sql::MARKER,
        begin::put_back(terms),
        sql::insert_decision(&terms.server.schema, decision, "@diesel_binds_warnings = 0"),
        commit_statement(terms)
    );
    match connection.batch_execute(&message).await {
        Ok(()) => {
            internals::leave(internals::status(connection));
            Ok(())
        }
        Err(error) => Err(explain(connection, error).await),
    }
}

/// Finishes the prepared branch of this connection.
pub(super) async fn finish(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
    outcome: Outcome,
) -> QueryResult<()> {
    connection
        .batch_execute(&format!("XA {} {}", verb(outcome), xid(terms)))
        .await?;
    internals::leave(internals::status(connection));
    Ok(())
}

/// Rolls back, or undoes the savepoint of a unit that has joined.
pub(super) async fn roll_back(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> QueryResult<()> {
    if terms.joined {
        return join::undo(connection, terms).await;
    }
    if is_branch(terms) {
        let xid = xid(terms);
        // A branch that the server already marked for rollback, or that is prepared, does not end any more.
        let ended = connection.batch_execute(&format!("XA END {xid}")).await;
        if let Err(error) = ended {
            tracing::trace!(%error, bind = terms.bind, "XA END before a rollback");
        }
        // Not before: a branch that has ended, or is prepared, takes no `SET`.
        connection
            .batch_execute(&format!("XA ROLLBACK {xid}{}", begin::put_back(terms)))
            .await?;
    } else {
        let put_back = begin::put_back(terms);
        connection
            .batch_execute(&format!("ROLLBACK; SET autocommit = 1{put_back}"))
            .await?;
    }
    internals::leave(internals::status(connection));
    Ok(())
}

fn commit_statement(terms: &Terms) -> String {
    if is_branch(terms) {
        let xid = xid(terms);
        format!("XA END {xid}; XA COMMIT {xid} ONE PHASE")
    } else if terms.read_only {
        // MariaDB keeps the connection read-only when a transaction is not ended by name. There is nothing to lose
        // between the two.
        "COMMIT; SET autocommit = 1".into()
    } else {
        // This commits. A `COMMIT` before it would leave room for a failure between the two.
        "SET autocommit = 1".into()
    }
}

/// The name of the marker stands in the error whatever language the server speaks.
pub(super) fn mentions_marker(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().contains(sql::MARKER) && !information.message().contains("diesel_binds_"))
}

/// Whether the server says that it has rolled the branch back: `XA_RBROLLBACK`, `XA_RBDEADLOCK`, `XA_RBTIMEOUT`, words
/// that begin the message in every language.
fn mentions_rollback(error: &diesel::result::Error) -> bool {
    matches!(error, diesel::result::Error::DatabaseError(_, information)
        if information.message().contains("XA_RB"))
}

/// Says why the last message of a transaction failed, as far as the connection can still tell.
async fn explain(connection: &mut AsyncMysqlConnection, error: diesel::result::Error) -> Fault {
    if mentions_marker(&error) {
        return Fault::Ended(error);
    }
    let warned: QueryResult<Flag> =
        sql_query("SELECT COALESCE(@diesel_binds_warnings, 0) > 0 AS flag")
            .get_result(connection)
            .await;
    match warned {
        Ok(Flag { flag: true }) => Fault::NonTransactional(error),
        Ok(Flag { flag: false }) => Fault::Refused(error),
        Err(_) => Fault::Lost(error),
    }
}
