//! Every use of an API that Diesel or diesel-async hide from their documentation, in one place.

use diesel::connection::{DynInstrumentation, Instrumentation, TransactionManagerStatus};
use diesel_async::AsyncConnection;
use diesel_async::methods::LoadQuery;

use crate::backend::PriorState;
use crate::commit::Fault;

/// Sends a query and returns the stream of its rows.
pub(crate) fn load<'conn, 'query, Q, C, U>(
    query: Q,
    connection: &'conn mut C,
) -> Q::LoadFuture<'conn>
where
    C: AsyncConnection,
    Q: LoadQuery<'query, C, U>,
{
    query.internal_load(connection)
}

/// Returns Diesel's view of the transaction on an asynchronous connection.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn status<C: AsyncConnection>(connection: &mut C) -> &mut TransactionManagerStatus {
    use diesel_async::TransactionManager as _;
    C::TransactionManager::transaction_manager_status_mut(connection)
}

/// Returns whether a pool would call the connection broken: the driver has noticed that it is closed, or Diesel has
/// lost track of its transactions. Diesel does not distinguish the two.
#[cfg(feature = "postgres")]
pub(super) fn is_closed(connection: &mut diesel_async::AsyncPgConnection) -> bool {
    #[cfg(any(feature = "deadpool", feature = "bb8"))]
    {
        use diesel_async::pooled_connection::PoolableConnection as _;

        // A pool also calls a connection in a transaction broken.
        let in_transaction = std::mem::take(status(connection));
        let is_closed = connection.is_broken();
        *status(connection) = in_transaction;
        is_closed
    }
    #[cfg(not(any(feature = "deadpool", feature = "bb8")))]
    {
        let _ = connection;
        false
    }
}

/// Returns Diesel's view of the transaction on a connection of SQLite.
#[cfg(feature = "sqlite")]
pub(super) fn sqlite_status(
    connection: &mut diesel::SqliteConnection,
) -> &mut TransactionManagerStatus {
    use diesel::connection::TransactionManager;
    diesel::connection::AnsiTransactionManager::transaction_manager_status_mut(connection)
}

/// Tells Diesel that no transaction is open any more.
pub(super) fn reset(status: &mut TransactionManagerStatus) {
    *status = TransactionManagerStatus::default();
}

/// Returns Diesel's count of its open transactions and savepoints.
pub(super) fn depth(status: &mut TransactionManagerStatus) -> diesel::QueryResult<u32> {
    match status.transaction_depth()? {
        Some(depth) => Ok(depth.get()),
        None => Err(diesel::result::Error::NotInTransaction),
    }
}

/// Tells Diesel that the savepoints above this depth are gone.
pub(super) fn return_to(status: &mut TransactionManagerStatus, before: u32) {
    use diesel::connection::TransactionDepthChange::DecreaseDepth;

    while depth(status).is_ok_and(|depth| depth > before) {
        if let TransactionManagerStatus::Valid(valid) = status
            && valid.change_transaction_depth(DecreaseDepth).is_err()
        {
            return;
        }
    }
}

/// Makes sure that Diesel's own view is that of a unit: nothing is nested in its transaction, or in its savepoint
/// within an outer transaction.
pub(super) fn verify_depth(
    status: &mut TransactionManagerStatus,
    prior: &PriorState,
) -> Result<(), Fault> {
    match depth(status) {
        Ok(depth) if depth == prior.depth.max(1) => Ok(()),
        Ok(depth) if depth > prior.depth => Err(Fault::NestedTransaction),
        Ok(_) => Err(Fault::TransactionEnded(
            diesel::result::Error::NotInTransaction,
        )),
        Err(error) => Err(Fault::TransactionEnded(error)),
    }
}

/// Returns whether a connection has no instrumentation. The type of the placeholder has no public name.
pub(super) fn is_placeholder(instrumentation: &dyn Instrumentation) -> bool {
    let placeholder = DynInstrumentation::none();
    (*placeholder).as_any().type_id() == instrumentation.as_any().type_id()
}
