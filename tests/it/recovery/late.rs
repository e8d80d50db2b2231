//! A unit waits before its decision until its holder has forgotten units of its age. Whatever its coordinator and an
//! operator then do, no report is false.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::recovery::{ForceError, InDoubtReason, Outcome};
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{Binds, CommitError, Gid, Isolation, SessionOptions};
use kit::admin::Admin;
use kit::prepared::{finish, prepared};
use kit::side::{MariadbA, PostgresA, PostgresB};
use kit::world::{Sides, World};

const REASON: &str = "it stood there for days";

/// The event while the unit waits before its decision, on the holder or in another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    Forgotten,
    Forced,
}

/// Two databases, one of them the holder, and a namespace of their own.
struct Pair {
    world: World,
    operator: Binds,
    gid: Gid,
}

impl Pair {
    /// Commits a unit that wrote everywhere, with an event before its decision. Returns the error that its caller got.
    async fn commit<S: Sides>(
        holder: usize,
        isolation: Isolation,
        meanwhile: Meanwhile,
    ) -> (Self, CommitError) {
        let databases = S::databases().await;
        let urls: Vec<String> = databases.iter().map(|d| d.url().to_owned()).collect();
        let key = S::keys()[holder];
        // Tests that run at the same time use the same servers.
        static TESTS: AtomicUsize = AtomicUsize::new(0);
        let number = TESTS.fetch_add(1, Ordering::SeqCst);
        let namespace = format!("late-{number}-{}", std::process::id());
        let process = async || {
            let builder = World::builder::<S>().binds(|binds| {
                binds
                    .namespace(&namespace)
                    .resolve_timeout(Duration::from_secs(5))
            });
            builder.connect(&urls).await
        };
        let (binds, operator) = (process().await, process().await);
        let plan = FaultPlan::new();
        let options = SessionOptions::new().isolation(isolation).faults(&plan);
        let mut session = binds.with(options).session();
        S::write(&session, "late").await.unwrap();
        let id = "SELECT holder_id AS value FROM diesel_binds_meta";
        let mut admin = Admin::connect(&urls[holder]).await;
        let id = admin.values(id).await.unwrap().remove(0);
        let gid = format!("db1:{namespace}:{}:{key}:{id}", session.unit());
        let gid: Gid = gid.parse().unwrap();
        let horizon = format!(
            "INSERT INTO diesel_binds_horizon (namespace, unit, moved_at) VALUES ('{namespace}', '{}', 0)",
            gid.unit()
        );
        let url = urls[holder].clone();
        let shared = (operator.clone(), gid.clone());
        let happens = Effect::call(move |_| {
            let (url, horizon) = (url.clone(), horizon.clone());
            let (operator, gid) = shared.clone();
            async move {
                Admin::connect(&url).await.run(&horizon).await.unwrap();
                if meanwhile == Meanwhile::Forced {
                    let refused = operator
                        .recovery()
                        .force(&gid, Outcome::Committed, REASON)
                        .await;
                    assert!(
                        matches!(refused, Err(ForceError::NotDecided { .. })),
                        "{refused:?}"
                    );
                    let forced = operator
                        .recovery()
                        .force(&gid, Outcome::RolledBack, REASON)
                        .await
                        .unwrap();
                    assert!(forced.is_complete(), "{forced}");
                }
            }
        });
        let _plan = plan.at(&format!("decide:{key}:before"), happens);
        let error = session.commit_all().await.unwrap_err();
        let world = World { binds, databases };
        let pair = Self {
            world,
            operator,
            gid,
        };
        (pair, error)
    }

    /// Rolls back the branches that are still prepared.
    async fn roll_back(&self) {
        for database in &self.world.databases {
            for branch in prepared(database.url(), self.gid.unit()).await {
                finish(database.url(), &branch, Outcome::RolledBack).await;
            }
        }
    }

    async fn outcomes(&self, holder: usize) -> Vec<String> {
        let rows = "SELECT outcome AS value FROM diesel_binds_decision";
        let mut admin = Admin::connect(self.world.databases[holder].url()).await;
        admin.values(rows).await.unwrap()
    }
}

/// Asserts that the outcome is forced, and that the coordinator, which is still alive, cannot decide afterwards.
async fn force_keeps_a_late_decision_out<S: Sides>(holder: usize) {
    // With a snapshot, the decision does not see the horizon. On MariaDB, `SERIALIZABLE` locks the horizon.
    for isolation in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
        let (pair, error) = Pair::commit::<S>(holder, isolation, Meanwhile::Forced).await;
        let CommitError::InDoubt { gid, source } = &error else {
            panic!("{isolation:?}: {error:?}")
        };
        assert_eq!(**gid, pair.gid);
        assert!(matches!(source, Fault::Forced), "{error:?}");
        assert!(S::rows(&pair.world).await.iter().all(Vec::is_empty));
        assert_eq!(pair.outcomes(holder).await, ["forced"]);
        // A later question gets the same answer.
        let asked = pair
            .operator
            .recovery()
            .resolve(&pair.gid)
            .await
            .unwrap_err();
        assert!(matches!(asked.source, Fault::Forced), "{asked:?}");
    }
}

#[tokio::test]
async fn force_keeps_a_late_decision_out_on_postgres() {
    force_keeps_a_late_decision_out::<(PostgresA, PostgresB)>(0).await;
}

#[tokio::test]
async fn force_keeps_a_late_decision_out_on_mariadb() {
    force_keeps_a_late_decision_out::<(PostgresA, MariadbA)>(1).await;
}

/// Asserts that no decision is made if the unit can see the horizon.
async fn a_decision_behind_the_horizon_is_not_made<S: Sides>(holder: usize) {
    let isolation = Isolation::ReadCommitted;
    let (pair, error) = Pair::commit::<S>(holder, isolation, Meanwhile::Forgotten).await;
    let CommitError::InDoubt { source, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(matches!(source, Fault::Forgotten), "{error:?}");
    assert_eq!(pair.outcomes(holder).await, [] as [&str; 0]);
    let pass = pair
        .operator
        .recovery()
        .run_older_than(Duration::ZERO)
        .await;
    assert_eq!(pass.in_doubt.len(), 1, "{pass}");
    assert!(
        matches!(pass.in_doubt[0].reason, InDoubtReason::Forgotten),
        "{pass}"
    );
    pair.roll_back().await;
    assert!(S::rows(&pair.world).await.iter().all(Vec::is_empty));
}

#[tokio::test]
async fn a_decision_behind_the_horizon_is_not_made_on_postgres() {
    a_decision_behind_the_horizon_is_not_made::<(PostgresA, PostgresB)>(0).await;
}

#[tokio::test]
async fn a_decision_behind_the_horizon_is_not_made_on_mariadb() {
    a_decision_behind_the_horizon_is_not_made::<(PostgresA, MariadbA)>(1).await;
}
