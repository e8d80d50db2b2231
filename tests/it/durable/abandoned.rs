//! Statements that are dropped while they run, and what is said to the server about them.

use std::time::Duration;

use diesel_binds::{BindOptions, Binds, RecoveryOptions};
use kit::admin::Admin;
use kit::pooler::Pooler;
use kit::proxy::Proxy;
use kit::servers::Server;
use kit::side::{PoolKind, PostgresA, Side};
use tokio::time::timeout;

const DROPPED: usize = 40;

/// How many connections were opened while statements were dropped. A request to cancel has one of its own.
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
        // What is dropped later runs by then, however long its connection takes to be opened.
        PostgresA::sql(&session, "SELECT 1").await.unwrap();
        let slow = PostgresA::sql(&session, "SELECT pg_sleep(0.3)");
        let _ = timeout(Duration::from_millis(40), slow).await;
    }
    // Waits for what is cleaned up.
    binds.close().await;
    proxy.connections()
}

/// pgbouncer 1.18 dies of such requests, and older ones hand them to whoever has the connection by then.
#[tokio::test]
async fn no_statement_is_cancelled_through_a_pooler() {
    let database = PostgresA::database().await;
    // The schema of a commit through it, and that it lives.
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
