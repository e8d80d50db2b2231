//! A transaction that never commits on MySQL and MariaDB: an XA branch that nobody ends.
//!
//! The server refuses `COMMIT`, `ROLLBACK`, DDL and all else that commits on the side while a branch is active, and what
//! follows a deadlock. A connection that is lost takes its branch along.

use diesel_async::{AnsiTransactionManager, AsyncMysqlConnection, SimpleAsyncConnection as _};

use crate::backend::mysql::{begin::begin, join, xid};
use crate::backend::{Enclosed, NotEnclosed, Terms, internals};
use crate::commit::Fault;

/// Begins it.
pub(super) async fn enclose(
    mut connection: AsyncMysqlConnection,
    terms: &Terms,
) -> Result<Enclosed<AsyncMysqlConnection>, NotEnclosed> {
    // A branch takes this from its session, and from nowhere else.
    let access = match terms.read_only {
        true => "SET SESSION TRANSACTION READ ONLY; ",
        false => "",
    };
    let branch = Terms {
        read_only: false,
        two_phase: true,
        ..terms.clone()
    };
    let message = format!("{access}{}", begin(&branch));
    AnsiTransactionManager::begin_transaction_sql(&mut connection, &message).await?;
    Ok(Enclosed {
        connection,
        copy: None,
    })
}

/// Rolls back, if it is still there.
pub(super) async fn leave(
    connection: &mut AsyncMysqlConnection,
    terms: &Terms,
) -> Result<(), Fault> {
    let kept = join::refuse_non_transactional(connection).await;
    let xid = xid(terms);
    connection
        .batch_execute(&format!("XA END {xid}; XA ROLLBACK {xid}"))
        .await
        .map_err(Fault::Ended)?;
    internals::leave(internals::status(connection));
    kept
}
