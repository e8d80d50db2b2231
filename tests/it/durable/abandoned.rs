//! Statements that are dropped while they run, and the requests to cancel them.

use std::time::Duration;

use diesel_binds::{BindOptions, Binds, RecoveryOptions};
use kit::admin::Admin;
use kit::pooler::Pooler;
use kit::proxy::Proxy;
use kit::servers::Server;
use kit::side::{PoolKind, PostgresA, Side};
use tokio::time::timeout;

const DROPPED: usize = 40;

/// Returns the number of connections that were opened while statements were dropped. A request to cancel opens one.
async fn connections(upstream: &str, options: BindOptions) -> usize {
    let proxy = Proxy::start(upstream).await;
    let builder = Binds::builder()
        .namespace("abandoned")
        .recovery(RecoveryOptions::new().without_worker());
    let url = proxy.url(upstream);
    let binds = PostgresA::register(builder, &url, PoolKind::Deadpool, 4, options)
        .await
        .build()
        .unwrap();
    for _ in 0..DROPPED {
        let session = binds.session();
        // The connection is open before the slow statement is dropped, so that it is dropped while it runs.
        PostgresA::sql(&session, "SELECT 1").await.unwrap();
        let slow = PostgresA::sql(&session, "SELECT pg_sleep(0.3)");
        let _ = timeout(Duration::from_millis(40), slow).await;
    }
    // Waits for the background clean-up.
    binds.close().await;
    proxy.connections()
}

/// pgbouncer 1.18 crashes on such requests. Older versions pass them to the connection's next user.
#[tokio::test]
async fn no_statement_is_cancelled_through_a_pooler() {
    let database = PostgresA::database().await;
    // No request to cancel goes through the pooler, and the pooler still runs.
    let pooler = Pooler::in_front_of(Server::PostgresA, 8);
    let opened = connections(&pooler.url(database.url()), BindOptions::new()).await;
    assert!(opened <= DROPPED + 4, "{opened} connections");
    let mut admin = Admin::connect(&pooler.url(database.url())).await;
    let lives = admin.values("SELECT 'lives' AS value").await.unwrap();
    assert_eq!(lives, ["lives"]);
}

#[tokio::test]
async fn a_statement_is_cancelled_unless_its_bind_says_never() {
    let database = PostgresA::database().await;
    let opened = connections(database.url(), BindOptions::new()).await;
    assert!(opened > DROPPED + DROPPED / 2, "{opened} connections");
    let opened = connections(database.url(), BindOptions::new().never_cancel()).await;
    assert!(opened <= DROPPED + 4, "{opened} connections");
}
