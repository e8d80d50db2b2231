//! How a transaction of a unit ends on PostgreSQL: the marker is used up first in every message.

use diesel::sql_types::BigInt;
use diesel::{QueryResult, define_sql_function};
use diesel_async::{AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection as _};

use crate::backend::postgres::probe::txid_current_if_assigned;
use crate::backend::postgres::{SCHEMA, join};
use crate::backend::{AloneFault, Terms, internals, sql};
use crate::commit::{Decision, Fault, Outcome};
use crate::gid::Branch;

/// What a marker that is gone says. It stands in the error whatever language the server speaks.
const MARKER_LOST: &str = "diesel_binds: the transaction of the unit is gone";

/// Ends a `SET LOCAL ROLE` of the application. What it deferred runs before, with the rights of that role.
pub(super) const LEAVE_ROLE: &str = "SET CONSTRAINTS ALL IMMEDIATE; \
                          SELECT pg_catalog.set_config('role', pg_catalog.current_setting('diesel_binds.role'), true)";

define_sql_function! {
    #[sql_name = "pg_catalog.txid_status"]
    fn txid_status(id: BigInt) -> Nullable<Text>;
}

/// Prepares.
pub(super) async fn prepare(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
    branch: &Branch,
) -> Result<(), Fault> {
    // After `SET LOCAL ROLE` the prepared transaction would belong to that role, and we could never finish it.
    let message = format!(
        "{}; {LEAVE_ROLE}; PREPARE TRANSACTION '{branch}'",
        use_up_marker(terms)
    );
    connection.batch_execute(&message).await.map_err(fault)?;
    internals::leave(internals::status(connection));
    Ok(())
}

/// Commits what nobody else has a part in.
pub(super) async fn commit(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
) -> Result<(), AloneFault> {
    let message = format!("{}; COMMIT", use_up_marker(terms));
    let (transaction, reply) = {
        // Both requests leave at once. The id comes back even when a crash in the commit takes that reply away.
        // The first time on a connection its statement must be prepared, and it answers too late: that costs the
        // answer to a reply lost in exactly this commit, and nothing else.
        let (mut asking, mut committing) = (&*connection, &*connection);
        tokio::join!(
            diesel::select(txid_current_if_assigned()).get_result::<Option<i64>>(&mut asking),
            committing.batch_execute(&message),
        )
    };
    let Err(error) = reply else {
        internals::leave(internals::status(connection));
        return Ok(());
    };
    // A connection that still answers makes the error the reply of the server, which then kept nothing.
    let fault = match roll_back(connection, terms).await {
        Ok(()) => fault(error),
        Err(_) => Fault::Lost(error),
    };
    Err(AloneFault {
        fault,
        transaction: transaction.ok().flatten(),
    })
}

/// Commits together with the record of the decision.
pub(super) async fn decide(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
    decision: &Decision,
) -> Result<(), Fault> {
    let message = format!(
        "{}; {LEAVE_ROLE}; {}; \
         SELECT pg_catalog.set_config('synchronous_commit', 'on', true) \
         WHERE pg_catalog.current_setting('synchronous_commit') IN ('off', 'local', 'remote_write'); \
         COMMIT",
        use_up_marker(terms),
        sql::insert_decision(SCHEMA, decision, "true"),
    );
    connection.batch_execute(&message).await.map_err(fault)?;
    internals::leave(internals::status(connection));
    Ok(())
}

/// Rolls back.
pub(super) async fn roll_back(
    connection: &mut AsyncPgConnection,
    terms: &Terms,
) -> QueryResult<()> {
    if terms.joined {
        return join::undo(connection, terms).await;
    }
    connection.batch_execute("ROLLBACK").await?;
    internals::leave(internals::status(connection));
    Ok(())
}

/// How a commit whose reply was lost has ended.
pub(super) async fn fate(
    connection: &mut AsyncPgConnection,
    transaction: i64,
) -> QueryResult<Option<Outcome>> {
    let status: Option<String> = diesel::select(txid_status(transaction))
        .get_result(connection)
        .await?;
    Ok(match status.as_deref() {
        Some("committed") => Some(Outcome::Commit),
        Some("aborted") => Some(Outcome::Abort),
        _ => None,
    })
}

/// Fails, in any state of the connection, unless this is the transaction that the unit began.
///
/// `COMMIT` and `PREPARE TRANSACTION` in an aborted transaction succeed, and keep nothing; after a `COMMIT` of the
/// application there is none at all. A message stops at its first error, so this stands first in it.
pub(super) fn use_up_marker(terms: &Terms) -> String {
    format!(
        "SELECT CAST(CASE WHEN coalesce(pg_catalog.current_setting('diesel_binds.unit', true), '') = '{}' \
         THEN '1' ELSE '{MARKER_LOST}' END AS pg_catalog.int4)",
        terms.unit
    )
}

/// What the last message of a transaction failed of.
pub(super) fn fault(error: diesel::result::Error) -> Fault {
    if let diesel::result::Error::DatabaseError(_, information) = &error
        && information.message().contains(MARKER_LOST)
    {
        return Fault::Ended(error);
    }
    Fault::Refused(error)
}
