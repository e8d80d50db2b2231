//! A decision on one node, and recovery that fences on the other one. A node may not have applied yet what the other one has
//! committed, and so reads no decision. Its fence is a write of the same key, of which the cluster lets only one be.

use std::time::Duration;

use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{CommitError, SessionOptions};
use kit::admin::Admin;
use kit::prepared::prepared;
use kit::proxy::Proxy;
use kit::side::{GaleraA, PostgresA};
use kit::world::{Sides, World};
use tokio::time::Instant;

use crate::cluster::{Nodes, other_node};

type Both = (PostgresA, GaleraA);

/// Returns the outcome that both nodes have recorded.
async fn recorded(nodes: &Nodes, unit: diesel_binds::UnitId) -> Option<String> {
    let galera = &nodes.world.databases[1];
    let mut found = Vec::new();
    for url in [galera.url().to_owned(), other_node(galera)] {
        let mut admin = Admin::connect(&url).await;
        admin.run("SET SESSION wsrep_sync_wait = 15").await.unwrap();
        let outcome =
            format!("SELECT outcome AS value FROM diesel_binds_decision WHERE unit = '{unit}'");
        found.push(admin.values(&outcome).await.unwrap().pop());
    }
    assert_eq!(
        found[0], found[1],
        "the nodes have recorded different outcomes of {unit}"
    );
    found.remove(0)
}

/// Recovers on node B while a unit is decided on node A, at every moment of its commit. At most one of them wins, and its
/// outcome is that of every database.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fence_of_one_node_and_a_decision_of_the_other_exclude_each_other() {
    const UNITS: u64 = 400;
    let nodes = Nodes::new().await;
    let mut expected = Vec::new();
    let (mut committed, mut rolled_back, mut in_doubt) = (0, 0, 0);
    let (mut fenced, mut found, mut unresolved) = (0, 0, 0);
    let mut admin = Admin::connect(nodes.world.databases[1].url()).await;
    let id = admin
        .values("SELECT holder_id AS value FROM diesel_binds_meta")
        .await
        .unwrap()
        .remove(0);
    for number in 0..UNITS {
        let text = format!("unit {number}");
        let mut session = nodes.world.binds.session();
        let unit = session.unit();
        Both::write(&session, &text).await.unwrap();
        let gid = format!("db1:suite:{unit}:galera-a:{id}").parse().unwrap();
        // Either may come first, by any part of the time that both take.
        let head_start = |of: u64| tokio::time::sleep(Duration::from_micros(fastrand::u64(0..of)));
        let committing = async {
            head_start(25_000).await;
            session.commit_all().await
        };
        let resolving = async {
            head_start(5_000).await;
            nodes.other.recovery().resolve(&gid).await
        };
        let (answer, resolved) = tokio::join!(committing, resolving);
        match &resolved {
            Ok(Outcome::RolledBack) => fenced += 1,
            Ok(Outcome::Committed) => found += 1,
            Err(_) => unresolved += 1,
        }
        let kept = match answer {
            Ok(_) => {
                committed += 1;
                true
            }
            Err(error) if error.is_rolled_back() => {
                rolled_back += 1;
                false
            }
            Err(CommitError::InDoubt { gid, .. }) => {
                in_doubt += 1;
                nodes.other.recovery().resolve(&gid).await.unwrap() == Outcome::Committed
            }
            Err(error) => panic!("{error:?}"),
        };
        if let Ok(outcome) = resolved {
            assert_eq!(kept, outcome == Outcome::Committed, "{unit}");
        }
        let outcome = recorded(&nodes, unit).await;
        match kept {
            true => assert_eq!(outcome.as_deref(), Some("commit"), "{unit}"),
            false => assert_ne!(outcome.as_deref(), Some("commit"), "{unit}"),
        }
        if kept {
            expected.push(text);
        }
    }
    let pass = nodes
        .world
        .binds
        .recovery()
        .run_older_than(Duration::ZERO)
        .await;
    assert!(pass.is_complete(), "{pass}");
    assert_eq!(nodes.rows().await, [&expected; 3].map(Clone::clone));
    println!(
        "{committed} committed, {rolled_back} rolled back, {in_doubt} in doubt; node B fenced {fenced}, found {found} \
         decided, and could not tell {unresolved}"
    );
    assert!(committed > 0 && fenced > 0, "the two never met");
}

/// Node B applies a large transaction, behind which the decision waits: it reads none, although node A has confirmed it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lags_behind_never_fences_a_unit_that_is_committed() {
    const UNITS: u64 = 12;
    let nodes = Nodes::new().await;
    let galera = &nodes.world.databases[1];
    let (mut on_a, mut on_b) = (
        Admin::connect(galera.url()).await,
        Admin::connect(&other_node(galera)).await,
    );
    on_a.run(
        "CREATE TABLE large (n INTEGER AUTO_INCREMENT PRIMARY KEY, text VARCHAR(100), KEY (text))",
    )
    .await
    .unwrap();
    let mut expected = Vec::new();
    let mut lagged = 0;
    for number in 0..UNITS {
        let text = format!("unit {number}");
        // The process dies after its decision, so that only recovery finishes the unit.
        let plan = FaultPlan::new().at("decide:after", Effect::Crash);
        let options = SessionOptions::new().faults(&plan);
        let mut session = nodes.world.binds.with(options).session();
        let unit = session.unit();
        Both::write(&session, &text).await.unwrap();
        on_a.run("INSERT INTO large (text) SELECT CONCAT(seq, RAND()) FROM seq_1_to_40000")
            .await
            .unwrap();
        session.commit_all().await.unwrap_err();
        let decision =
            format!("SELECT outcome AS value FROM diesel_binds_decision WHERE unit = '{unit}'");
        let seen = on_b.values(&decision).await.unwrap();
        lagged += usize::from(seen.is_empty());
        let pass = nodes.other.recovery().run_older_than(Duration::ZERO).await;
        for found in &pass.recovered {
            assert_eq!(found.outcome, Outcome::Committed, "{unit}: {pass}");
        }
        assert_eq!(
            recorded(&nodes, unit).await.as_deref(),
            Some("commit"),
            "{unit}"
        );
        nodes.other.recovery().run_older_than(Duration::ZERO).await;
        assert!(
            prepared(nodes.world.databases[0].url(), unit)
                .await
                .is_empty()
        );
        expected.push(text);
    }
    println!("node B had not seen {lagged} of {UNITS} decisions");
    assert!(lagged > 0, "node B never lagged behind");
    assert_eq!(nodes.rows().await, [&expected; 3].map(Clone::clone));
}

/// Both nodes have the same commits, so the other node is no copy of the one that the process has used.
#[tokio::test]
async fn recovery_goes_on_where_the_address_leads_to_another_node() {
    let nodes = Nodes::new().await;
    let (postgres, galera) = (&nodes.world.databases[0], &nodes.world.databases[1]);
    let address = Proxy::start(galera.url()).await;
    let urls = [postgres.url().to_owned(), address.url(galera.url())];
    let binds = World::builder::<Both>().connect(&urls).await;
    let plan = FaultPlan::new().at("decide:after", Effect::Crash);
    let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
    let unit = session.unit();
    Both::write(&session, "kept").await.unwrap();
    assert!(session.commit_all().await.is_err());
    drop(session);
    assert_eq!(prepared(postgres.url(), unit).await.len(), 1);
    address.lead_to(&other_node(galera)).await;
    let end = Instant::now() + Duration::from_secs(60);
    while !prepared(postgres.url(), unit).await.is_empty() {
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        // A node that is behind lacks a confirmed decision for a moment.
        assert!(Instant::now() < end, "{pass}");
    }
    assert_eq!(nodes.rows().await, [["kept"]; 3]);
}
