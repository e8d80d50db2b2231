//! A semi-synchronous MariaDB server whose replica is away: its commits are visible, but are not reported as done.

use std::sync::Arc;
use std::time::Duration;

use diesel_binds::config::HolderPreference;
use diesel_binds::error::Fault;
use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{BindOptions, Binds, CommitError, RecoveryOptions, SessionOptions};
use kit::database::Database;
use kit::semisync::Semisync;
use kit::side::{MariadbA, PoolKind, PostgresB, Side};

use tokio::time::Instant;

use crate::durable::replicated::{LONG, STEP};

pub(crate) const SCHEMA: &str = "CREATE TABLE shop.notes (id INTEGER AUTO_INCREMENT PRIMARY KEY, text VARCHAR(200) NOT NULL UNIQUE)";

/// A part of a committed unit waits for the replica as well.
#[tokio::test]
async fn a_part_that_waits_for_a_replica_is_pending() {
    let (server, other) = (
        Arc::new(Semisync::start().await),
        PostgresB::database().await,
    );
    server.admin().await.run(SCHEMA).await.unwrap();
    let options = BindOptions::new().holder(HolderPreference::Avoid);
    let binds = binds(&server, &other, options).await;
    binds.install().await.unwrap();
    let leave = {
        let server = Arc::clone(&server);
        Effect::call(move |_| {
            let server = Arc::clone(&server);
            async move { server.waits(true).await }
        })
    };
    let plan = FaultPlan::new().at("apply:my-a:before", leave);
    let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
    MariadbA::write(&session, "part").await.unwrap();
    PostgresB::write(&session, "part").await.unwrap();
    let committed = session.commit_all().await.unwrap();
    assert_eq!(plan.fired().len(), 1);
    assert_eq!(committed.committed().unwrap().pending(), ["my-a"]);
    for _ in 0..3 {
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        assert!(pass.recovered.is_empty(), "{pass}");
    }
    // Nothing has ended the wait.
    let ending =
        "SELECT INFO AS value FROM information_schema.PROCESSLIST WHERE INFO LIKE 'XA COMMIT%'";
    let ending = server.admin().await.values(ending).await.unwrap();
    assert_eq!(ending.len(), 1, "{ending:?}");
    server.waits(false).await;
    let end = Instant::now() + LONG;
    while !binds
        .recovery()
        .run_older_than(Duration::ZERO)
        .await
        .is_complete()
    {
        assert!(Instant::now() < end);
    }
    assert_eq!(rows(&server).await, ["part"]);
    assert_eq!(PostgresB::rows(&other).await, ["part"]);
}

async fn binds(server: &Semisync, other: &Database, options: BindOptions) -> Binds {
    let (builder, pool) = (Binds::builder(), PoolKind::Deadpool);
    let builder = builder
        .namespace("semisync")
        .recovery(RecoveryOptions::new().without_worker())
        .step_timeout(STEP)
        .resolve_timeout(2 * STEP);
    let builder = MariadbA::register(builder, &server.url(), pool, 4, options).await;
    PostgresB::register(builder, other.url(), pool, 4, BindOptions::new())
        .await
        .build()
        .unwrap()
}

/// Returns the number of connections that wait for the replica.
async fn waiting(server: &Semisync) -> usize {
    let waiting = "SELECT CAST(ID AS CHAR) AS value FROM information_schema.PROCESSLIST WHERE STATE LIKE '%semi-sync%'";
    server.admin().await.values(waiting).await.unwrap().len()
}

pub(crate) async fn rows(server: &Semisync) -> Vec<String> {
    let rows = "SELECT text AS value FROM shop.notes ORDER BY id";
    server.admin().await.values(rows).await.unwrap()
}

#[tokio::test]
async fn a_decision_that_waits_for_a_replica_is_in_doubt() {
    let (server, other) = (Semisync::start().await, PostgresB::database().await);
    server.admin().await.run(SCHEMA).await.unwrap();
    let binds = binds(&server, &other, BindOptions::new().record_every_commit()).await;
    binds.install().await.unwrap();
    let mut gids = Vec::new();
    for (count, text) in ["both", "alone"].into_iter().enumerate() {
        // The pool opens its connections, and reads the id of the database.
        let mut session = binds.session();
        MariadbA::write(&session, &format!("warm {text}"))
            .await
            .unwrap();
        PostgresB::write(&session, &format!("warm {text}"))
            .await
            .unwrap();
        session.commit_all().await.unwrap();
        server.waits(true).await;
        let limit = Duration::from_millis(300);
        let mut session = binds
            .with(SessionOptions::new().statement_timeout(limit))
            .session();
        MariadbA::write(&session, text).await.unwrap();
        if text == "both" {
            PostgresB::write(&session, text).await.unwrap();
        }
        let result = session.commit_all().await;
        let Err(CommitError::InDoubt { gid, .. }) = result else {
            panic!("{text}: {result:?}");
        };
        // The row is visible, but exists on no replica.
        assert!(rows(&server).await.contains(&text.to_owned()));
        for _ in 0..3 {
            let pass = binds.recovery().run_older_than(Duration::ZERO).await;
            assert!(pass.recovered.is_empty(), "{pass}");
            let resolved = binds.recovery().resolve(&gid).await.unwrap_err();
            assert!(
                matches!(resolved.source, Fault::Unconfirmed),
                "{resolved:?}"
            );
        }
        // Only the commit itself goes on waiting.
        let end = Instant::now() + LONG;
        while waiting(&server).await != 1 {
            assert!(Instant::now() < end, "{count}");
        }
        gids.push(*gid);
        // An operator turns the wait for the replica off.
        server.waits(false).await;
    }
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete() && pass.recovered.len() == 1, "{pass}");
    for gid in &gids {
        assert_eq!(
            binds.recovery().resolve(gid).await.unwrap(),
            Outcome::Committed
        );
    }
    assert!(PostgresB::rows(&other).await.contains(&"both".to_owned()));
}
