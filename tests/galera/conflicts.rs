//! Units on two nodes that change one row. The node whose transaction comes second in the order of the cluster aborts it,
//! at a statement or at the commit.

use diesel_binds::{CommitError, Error, Retry};
use kit::admin::Admin;
use kit::database::Database;
use kit::prepared::prepared;
use kit::side::{GaleraA, PostgresA, Side};
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cluster::{Nodes, other_node};

/// Changes the row on node B, and commits.
async fn change_elsewhere(galera: &Database, to: &str) {
    let mut admin = Admin::connect(&other_node(galera)).await;
    admin.run("SET SESSION wsrep_sync_wait = 15").await.unwrap();
    let change = format!("UPDATE notes SET text = '{to}'");
    admin.run(&change).await.unwrap();
}

/// Writes the row that both nodes change.
async fn start(nodes: &Nodes) {
    let mut session = nodes.world.binds.session();
    GaleraA::write(&session, "first").await.unwrap();
    session.commit_all().await.unwrap();
    nodes.rows().await;
}

#[tokio::test]
async fn a_holder_that_loses_against_another_node_rolls_the_unit_back() {
    let nodes = Nodes::new().await;
    start(&nodes).await;
    let mut session = nodes.world.binds.session();
    let unit = session.unit();
    PostgresA::write(&session, "lost").await.unwrap();
    GaleraA::rename(&session, "first", "lost").await.unwrap();
    change_elsewhere(&nodes.world.databases[1], "won").await;
    let error = session.commit_all().await.unwrap_err();
    assert!(
        matches!(
            error,
            CommitError::RolledBack {
                bind: "galera-a",
                ..
            }
        ),
        "{error:?}"
    );
    assert!(error.is_retryable(), "{error:?}");
    assert!(!error.is_in_doubt());
    assert_eq!(
        nodes.rows().await,
        [vec![], vec!["won".to_owned()], vec!["won".to_owned()]]
    );
    assert!(
        prepared(nodes.world.databases[0].url(), unit)
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn an_only_writer_that_loses_against_another_node_is_rolled_back() {
    let nodes = Nodes::new().await;
    start(&nodes).await;
    let mut session = nodes.world.binds.session();
    GaleraA::rename(&session, "first", "lost").await.unwrap();
    change_elsewhere(&nodes.world.databases[1], "won").await;
    let error = session.commit_all().await.unwrap_err();
    assert!(error.is_rolled_back() && error.is_retryable(), "{error:?}");
    assert_eq!(
        nodes.rows().await,
        [vec![], vec!["won".to_owned()], vec!["won".to_owned()]]
    );
}

#[tokio::test]
async fn a_unit_that_lost_against_another_node_is_run_again() {
    let nodes = Nodes::new().await;
    start(&nodes).await;
    let galera = &nodes.world.databases[1];
    let runs = AtomicU32::new(0);
    nodes
        .world
        .binds
        .retrying(Retry::new())
        .transaction(async |session| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            PostgresA::write(session, &format!("run {run}")).await?;
            let from = if run == 0 { "first" } else { "theirs" };
            GaleraA::rename(session, from, "ours").await?;
            if run == 0 {
                change_elsewhere(galera, "theirs").await;
            }
            Ok::<_, Error>(())
        })
        .await
        .unwrap();
    assert_eq!(runs.into_inner(), 2);
    let ours = vec!["ours".to_owned()];
    assert_eq!(
        nodes.rows().await,
        [vec!["run 1".to_owned()], ours.clone(), ours]
    );
}

/// Many units on both nodes at once that add to one row. Each commit that was confirmed has to count, and no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_units_of_both_nodes_are_all_there_and_no_others() {
    const UNITS: usize = 150;
    let nodes = Nodes::new().await;
    let galera = &nodes.world.databases[1];
    let mut admin = Admin::connect(galera.url()).await;
    admin.run("CREATE TABLE counted (id INTEGER PRIMARY KEY, n INTEGER NOT NULL); INSERT INTO counted VALUES (1, 0)").await.unwrap();
    nodes.rows().await;
    let on_node = |binds: diesel_binds::Binds, node: &'static str| async move {
        let (mut confirmed, mut lost) = (Vec::new(), 0);
        for number in 0..UNITS {
            let mut session = binds.session();
            let text = format!("{node} {number}");
            let worked = async {
                PostgresA::write(&session, &text).await?;
                GaleraA::sql(&session, "UPDATE counted SET n = n + 1 WHERE id = 1").await
            };
            let ended = match worked.await {
                Ok(_) => session.commit_all().await.map(drop).map_err(Error::from),
                Err(error) => session
                    .rollback_all()
                    .await
                    .map_err(Error::from)
                    .and(Err(error)),
            };
            match ended {
                Ok(()) => confirmed.push(text),
                Err(error) if error.is_retryable() => lost += 1,
                Err(error) => panic!("{error:?}"),
            }
        }
        (confirmed, lost)
    };
    let (one, two) = tokio::join!(
        tokio::spawn(on_node(nodes.world.binds.clone(), "a")),
        tokio::spawn(on_node(nodes.other.clone(), "b")),
    );
    let ((mut confirmed, lost_on_a), (on_b, lost_on_b)) = (one.unwrap(), two.unwrap());
    println!(
        "{} + {} confirmed, {lost_on_a} + {lost_on_b} lost",
        confirmed.len(),
        on_b.len()
    );
    confirmed.extend(on_b);
    confirmed.sort();
    let [mut kept, ..] = nodes.rows().await;
    kept.sort();
    assert_eq!(kept, confirmed);
    let counted = admin
        .values("SELECT CONCAT(n, '') AS value FROM counted")
        .await
        .unwrap();
    assert_eq!(counted, [confirmed.len().to_string()]);
    assert!(lost_on_a + lost_on_b > 0, "no unit met another");
}
