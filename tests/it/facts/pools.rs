//! Facts about the pools.

use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use diesel_async::{
    AsyncConnection, AsyncPgConnection, SimpleAsyncConnection as _, TransactionManager as _,
};
use kit::admin::Admin;
use kit::database::Database;
use kit::servers::Server;

use crate::facts::database_with;

type Manager = AsyncDieselConnectionManager<AsyncPgConnection>;
type Transactions = <AsyncPgConnection as AsyncConnection>::TransactionManager;

async fn database() -> (Database, Admin) {
    database_with(Server::PostgresA, "CREATE TABLE t (n INTEGER UNIQUE)").await
}

async fn sessions_in_a_transaction(admin: &mut Admin) -> usize {
    let query = "SELECT pid::text AS value FROM pg_stat_activity WHERE datname = current_database() \
                 AND state LIKE 'idle in transaction%'";
    admin.values(query).await.unwrap().len()
}

/// Therefore an abandoned transaction keeps its locks until a connection is requested from a quiet pool.
#[tokio::test]
async fn deadpool_takes_a_connection_back_with_its_transaction() {
    let (database, mut admin) = database().await;
    let pool =
        diesel_async::pooled_connection::deadpool::Pool::builder(Manager::new(database.url()))
            .max_size(1)
            .build()
            .unwrap();
    let mut connection = pool.get().await.unwrap();
    Transactions::begin_transaction(&mut *connection)
        .await
        .unwrap();
    connection
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    drop(connection);
    assert_eq!(pool.status().available, 1);
    assert_eq!(sessions_in_a_transaction(&mut admin).await, 1);
}

/// The pool cannot see a transaction that Diesel's transaction manager did not begin.
#[tokio::test]
async fn deadpool_hands_a_transaction_of_plain_sql_to_the_next_user() {
    let (database, _admin) = database().await;
    let pool =
        diesel_async::pooled_connection::deadpool::Pool::builder(Manager::new(database.url()))
            .max_size(1)
            .build()
            .unwrap();
    let mut connection = pool.get().await.unwrap();
    connection
        .batch_execute("BEGIN; INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    drop(connection);
    let mut connection = pool.get().await.unwrap();
    connection
        .batch_execute("SAVEPOINT only_in_a_transaction")
        .await
        .unwrap();
}

#[tokio::test]
async fn deadpool_has_no_timeouts_by_default_and_needs_a_runtime_for_them() {
    let (database, _admin) = database().await;
    let builder = || {
        diesel_async::pooled_connection::deadpool::Pool::<AsyncPgConnection>::builder(Manager::new(
            database.url(),
        ))
    };
    let pool = builder().build().unwrap();
    assert_eq!(pool.timeouts().wait, None);
    let refused = builder()
        .wait_timeout(Some(std::time::Duration::from_secs(1)))
        .build();
    assert!(refused.is_err(), "a timeout needs `.runtime(..)`");
}

#[tokio::test]
async fn bb8_throws_a_connection_in_a_transaction_away_on_return() {
    let (database, mut admin) = database().await;
    let pool = bb8::Pool::builder()
        .max_size(1)
        .build_unchecked(Manager::new(database.url()));
    let mut connection = pool.get().await.unwrap();
    Transactions::begin_transaction(&mut *connection)
        .await
        .unwrap();
    connection
        .batch_execute("INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    drop(connection);
    assert_eq!(pool.state().idle_connections, 0);
    // The server needs a moment to notice it.
    while sessions_in_a_transaction(&mut admin).await > 0 {
        tokio::task::yield_now().await;
    }
}

/// Otherwise the connection of every unit would be closed.
#[tokio::test]
async fn a_connection_whose_depth_was_lowered_is_kept() {
    use diesel::connection::TransactionDepthChange;

    let (database, _admin) = database().await;
    let pool = bb8::Pool::builder()
        .max_size(1)
        .build_unchecked(Manager::new(database.url()));
    let mut connection = pool.get().await.unwrap();
    Transactions::begin_transaction(&mut *connection)
        .await
        .unwrap();
    connection.batch_execute("COMMIT").await.unwrap();
    let diesel::connection::TransactionManagerStatus::Valid(status) =
        Transactions::transaction_manager_status_mut(&mut *connection)
    else {
        panic!("the status is valid");
    };
    status
        .change_transaction_depth(TransactionDepthChange::DecreaseDepth)
        .unwrap();
    drop(connection);
    assert_eq!(pool.state().idle_connections, 1);
}
