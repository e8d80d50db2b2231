//! A node outside of the primary component of its cluster: it refuses to read and to write, and loses nothing. A program
//! of its own, because the tests of `galera` use the cluster that it takes apart.
//!
//! `cargo xtask servers start --set galera`, then `cargo test --all-features --test galera_apart`.

#[path = "galera/cluster.rs"]
#[allow(dead_code)]
mod cluster;

use std::time::Duration;

use diesel_binds::{BindOptions, CommitError, Error, Retry};
use kit::admin::Admin;
use kit::kill::{alone, kill, restart};
use kit::prepared::prepared;
use kit::servers::Server;
use kit::side::{GaleraA, PostgresA, Side};
use kit::world::{Sides, World};
use tokio::time::{Instant, sleep};

use crate::cluster::{Nodes, caught_up};

type Both = (PostgresA, GaleraA);

/// Cuts node A off from node B, or connects them again.
async fn isolate(is_isolated: bool) {
    let mut admin = Admin::connect(Server::GaleraA.url().as_str()).await;
    let set = format!(
        "SET GLOBAL wsrep_provider_options = 'gmcast.isolate={}'",
        u8::from(is_isolated)
    );
    admin.run(&set).await.unwrap();
    let end = Instant::now() + Duration::from_secs(60);
    // A node outside of its cluster refuses to read.
    let read = "SELECT CONCAT(COUNT(*), '') AS value FROM mysql.global_priv";
    while admin.values(read).await.is_err() != is_isolated {
        assert!(Instant::now() < end, "isolated: {}", !is_isolated);
        sleep(Duration::from_millis(50)).await;
    }
    if !is_isolated {
        caught_up(Server::GaleraA).await;
        caught_up(Server::GaleraB).await;
    }
}

#[tokio::test]
async fn a_node_that_leaves_its_cluster_refuses_units_that_can_be_repeated() {
    let _alone = alone().await;
    let nodes = Nodes::new().await;
    let binds = &nodes.world.binds;
    isolate(true).await;
    let mut session = binds.session();
    PostgresA::write(&session, "refused").await.unwrap();
    let error = GaleraA::write(&session, "refused").await.unwrap_err();
    assert!(error.to_string().contains("galera-a"), "{error}");
    let text = format!("{error:?}");
    assert!(text.contains("WSREP has not yet prepared node"), "{text}");
    assert!(error.is_retryable(), "{text}");
    session.rollback_all().await.unwrap();

    let binds = binds.clone();
    let waiting = tokio::spawn(async move {
        let (pause, longest) = (Duration::from_millis(100), Duration::from_millis(200));
        let retrying = binds.retrying(Retry::new().attempts(200).delay(pause, longest));
        let unit = retrying.transaction(async |session| {
            Both::write(session, "kept").await?;
            Ok::<_, Error>(())
        });
        unit.await
    });
    sleep(Duration::from_millis(500)).await;
    isolate(false).await;
    waiting.await.unwrap().unwrap();
    assert_eq!(nodes.rows().await, [["kept"]; 3]);
}

/// The node leaves its cluster between the statements of a unit and its commit.
#[tokio::test]
async fn a_commit_on_a_node_that_left_its_cluster_never_tears_a_unit() {
    let _alone = alone().await;
    for alone in [false, true] {
        let nodes = Nodes::new().await;
        let mut session = nodes.world.binds.session();
        let unit = session.unit();
        if !alone {
            PostgresA::write(&session, "unit").await.unwrap();
        }
        GaleraA::write(&session, "unit").await.unwrap();
        isolate(true).await;
        let answer = session.commit_all().await;
        isolate(false).await;
        println!("alone: {alone}; the caller got {answer:?}");
        let pass = nodes
            .world
            .binds
            .recovery()
            .run_older_than(Duration::ZERO)
            .await;
        assert!(pass.is_complete(), "{pass}");
        let [on_postgres, on_a, on_b] = nodes.rows().await;
        assert_eq!(on_a, on_b);
        if !alone {
            assert_eq!(on_postgres, on_a, "torn");
        }
        match answer {
            Err(error @ CommitError::RolledBack { .. }) => {
                assert!(on_a.is_empty());
                assert!(error.is_retryable(), "{error:?}");
            }
            Err(CommitError::InDoubt { .. } | CommitError::Unknown { .. }) => {}
            answer => panic!("{answer:?}"),
        }
        assert!(
            prepared(nodes.world.databases[0].url(), unit)
                .await
                .is_empty()
        );
    }
}

/// Without the other node, half of the cluster is no majority.
#[tokio::test]
async fn a_node_whose_other_node_was_killed_is_clear_about_it_and_comes_back() {
    let _alone = alone().await;
    let world = World::builder::<Both>()
        .options(&BindOptions::new())
        .build()
        .await;
    let mut session = world.binds.session();
    Both::write(&session, "first").await.unwrap();
    session.commit_all().await.unwrap();
    kill(Server::GaleraB).await;
    // A commit that waits for the killed node, until that one counts as gone.
    let mut session = world.binds.session();
    Both::write(&session, "lost").await.unwrap();
    let answer = session.commit_all().await;
    println!("the commit without the other node: {answer:?}");
    let lost = answer.unwrap_err();
    let mut session = world.binds.session();
    let error = GaleraA::write(&session, "refused").await.unwrap_err();
    assert!(
        format!("{error:?}").contains("WSREP has not yet prepared node"),
        "{error:?}"
    );
    session.rollback_all().await.unwrap();
    assert!(error.is_retryable(), "{error:?}");
    restart(Server::GaleraB).await;
    caught_up(Server::GaleraA).await;
    let pass = world.binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete(), "{pass}");
    let mut session = world.binds.session();
    Both::write(&session, "second").await.unwrap();
    session.commit_all().await.unwrap();
    let rows = Both::rows(&world).await;
    assert_eq!(rows[0], rows[1], "torn");
    assert!(rows[0].contains(&"second".to_owned()));
    if lost.is_rolled_back() {
        assert!(lost.is_retryable(), "{lost:?}");
        assert_eq!(rows[0], ["first", "second"]);
    }
}
