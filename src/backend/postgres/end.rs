//! The end of a unit's transaction on PostgreSQL: every message uses up the marker first.

use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::message::{Part, sql};
use crate::backend::postgres::lineage::Current;
use crate::backend::postgres::marker::{IsMarked, MARKER_LOST, UseUpMarker};
use crate::backend::postgres::message::{fault, is_of_server, run};
use crate::backend::postgres::role::LeaveRole;
use crate::backend::postgres::{SCHEMA, outer};
use crate::backend::{Dialect as _, LoneCommitFault, Terms, TransactionId, Unseen, internals, sql};
use crate::commit::{Decision, Fault};
use crate::gid::Branch;

/// The error of a decision whose row a trigger or rule has dropped or changed.
const NOT_KEPT: &str = "diesel_binds: the row of the decision was not kept";

/// Fails if a statement in text has made the transaction of a read-only unit writable.
const STILL_READ_ONLY: &str = "; SELECT CAST(CASE pg_catalog.current_setting('transaction_read_only') WHEN 'on' THEN '1' \
     ELSE 'diesel_binds: a statement has made the read-only unit writable' END AS pg_catalog.int4)";

/// The last statement before the end of a transaction that must be durable. Fails unless the marker is there and
/// `stands` holds. Makes the end wait until it is durable, also on the configured synchronous standbys; a prepare needs
/// this as much as a decision.
///
/// Neither `statement_timeout` nor `transaction_timeout` cuts that wait short: the server disables them before it.
struct Confirmed<'t, S>(&'t Terms, S);

impl<S: Part> Part for Confirmed<'_, S> {
    fn append_to(&self, message: &mut String) {
        let Self(terms, stands) = self;
        // Only nested `CASE`s have a fixed order of evaluation.
        sql! {
            message; "SELECT CAST(CASE WHEN NOT ", IsMarked(terms), " THEN '", MARKER_LOST,
            "' WHEN NOT ", stands, " THEN '", NOT_KEPT,
            "' WHEN pg_catalog.current_setting('synchronous_commit') NOT IN ('off', 'local', 'remote_write') THEN '1' \
             ELSE CASE pg_catalog.set_config('synchronous_commit', 'on', true) WHEN 'on' THEN '1' END END \
             AS pg_catalog.int4)",
        }
    }
}

/// Prepares the transaction.
pub(super) async fn prepare(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
    branch: &Branch,
) -> Result<(), Fault> {
    // After `SET LOCAL ROLE` the prepared transaction would belong to that role, and could never be finished here. The
    // marker is also checked last: outside of a transaction, `PREPARE TRANSACTION` prepares nothing, and is no error in
    // such a message.
    let message = sql! {
        UseUpMarker(terms), "; ", LeaveRole(terms), "; ", Confirmed(terms, "true"), "; PREPARE TRANSACTION '", branch.to_string(), "'",
    };
    run(connection, &message).await?;
    internals::reset(internals::status(connection));
    Ok(())
}

/// Commits the only writer, or a reader. Returns the start time of the server.
pub(super) async fn commit(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
) -> Result<Option<i64>, LoneCommitFault> {
    let still_read_only = match terms.read_only {
        true => STILL_READ_ONLY,
        false => "",
    };
    let message = sql! { UseUpMarker(terms), still_read_only, "; COMMIT" };
    let (transaction, reply) = {
        // Both requests are sent at once. The id comes back even if a crash during the commit loses that reply. On
        // first use, the statement of the id must be prepared on the connection, and its answer comes too late. Then
        // the fate of exactly this commit cannot be found if its reply is lost; nothing else is affected.
        let (mut asking, mut committing) = (&*connection, &*connection);
        tokio::join!(
            Current.get_result::<(Option<i64>, i64)>(&mut asking),
            committing.batch_execute(&message),
        )
    };
    let Err(error) = reply else {
        internals::reset(internals::status(connection));
        return Ok(transaction.ok().map(|(_, started)| started));
    };
    // If the connection still answers, the error is the reply of the server, which committed nothing.
    let fault = match roll_back(connection, terms, Unseen::Nothing).await {
        Ok(()) => fault(connection, error),
        Err(_) => match transaction {
            // The server replies in order, and does not reach the commit after an error.
            Err(refusal)
                if is_of_server(&refusal) && AsyncPgConnection::errors_are_final(&terms.server) =>
            {
                return Err(LoneCommitFault {
                    fault: Fault::Unreached(refusal),
                    transaction: None,
                });
            }
            _ if is_of_server(&error) => Fault::Lost(error),
            _ => fault(connection, error),
        },
    };
    let told = transaction.ok();
    Err(LoneCommitFault {
        fault,
        transaction: told.and_then(|(id, started)| Some(TransactionId { id: id?, started })),
    })
}

/// Commits together with the record of the decision.
pub(super) async fn decide(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
    decision: &Decision,
) -> Result<(), Fault> {
    let message = sql! {
        UseUpMarker(terms), "; ", LeaveRole(terms),
        "; ", sql::insert_decision(SCHEMA, decision, IsMarked(terms)),
        "; ", Confirmed(terms, sql::decision_stands(SCHEMA, decision)), "; COMMIT",
    };
    run(connection, &message).await?;
    internals::reset(internals::status(connection));
    Ok(())
}

/// Rolls the transaction back.
pub(super) async fn roll_back(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
    unseen: Unseen,
) -> Result<(), Fault> {
    if terms.within_outer {
        // The savepoint exists only in the transaction of the unit, also in an aborted one.
        return outer::undo(connection, terms).await.map_err(Fault::Refused);
    }
    let mut certain = unseen != Unseen::Hidden;
    let mut ended = false;
    if matches!(unseen, Unseen::Text | Unseen::Anything) {
        let message = format!("{}; ROLLBACK", UseUpMarker(terms));
        match run(connection, &message).await {
            Ok(()) => ended = true,
            Err(Fault::TransactionEnded(error)) => return Err(Fault::TransactionEnded(error)),
            // The transaction is aborted. The statement in text that failed in it cannot have ended one and begun
            // another; a message of several can.
            Err(_) => certain = unseen == Unseen::Text,
        }
    }
    if !ended {
        connection
            .batch_execute("ROLLBACK")
            .await
            .map_err(Fault::Refused)?;
    }
    internals::reset(internals::status(connection));
    match certain {
        true => Ok(()),
        false => Err(Fault::TransactionMaybeEnded),
    }
}
