//! The replica of a semi-synchronous MariaDB server goes away at each step of a commit. A failover would lose what the
//! server did after that, so nothing that relies on it is reported as committed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use diesel_binds::config::HolderPreference;
use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, FaultPlan, Moment, Point};
use diesel_binds::{
    BindOptions, Binds, Commit, CommitError, RecoveryOptions, SessionOptions, UnitId,
};
use kit::admin::Admin;
use kit::database::Database;
use kit::prepared::prepared;
use kit::semisync::Semisync;
use kit::side::{MariadbA, PoolKind, PostgresB, Side};
use kit::world::Sides as _;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::durable::replicated::LONG;
use crate::durable::semisync::{SCHEMA, rows};

/// Short limits for a step that waits for the replica.
const STEP: Duration = Duration::from_millis(500);
const RESOLVE: Duration = Duration::from_secs(1);

/// The action of an operator on the sessions that wait for the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    LetsThemWait,
    KillsThem,
}

/// The state of the unit on the server when the replica went away, which the replica has.
#[derive(Clone, Copy, Debug)]
struct ReplicaState {
    has_ended: bool,
}

struct World {
    server: Arc<Semisync>,
    other: Database,
    holder: HolderPreference,
}

impl World {
    async fn new(holder: HolderPreference) -> Self {
        let world = Self {
            server: Arc::new(Semisync::start().await),
            other: PostgresB::database().await,
            holder,
        };
        world.server.admin().await.run(SCHEMA).await.unwrap();
        world.binds().await.install().await.unwrap();
        world
    }

    async fn binds(&self) -> Binds {
        let pool = PoolKind::Deadpool;
        let builder = Binds::builder()
            .namespace(self.other.name().unwrap().replace('_', "-"))
            .recovery(RecoveryOptions::new().without_worker())
            .step_timeout(STEP)
            .resolve_timeout(RESOLVE);
        let options = BindOptions::new().holder(self.holder);
        let builder = MariadbA::register(builder, &self.server.url(), pool, 4, options).await;
        let options = BindOptions::new();
        let builder = PostgresB::register(builder, self.other.url(), pool, 4, options).await;
        builder.build().unwrap()
    }

    async fn commit(
        &self,
        binds: &Binds,
        plan: &FaultPlan,
        text: &str,
    ) -> (UnitId, Result<Commit, CommitError>) {
        let mut session = binds.with(SessionOptions::new().faults(plan)).session();
        <(MariadbA, PostgresB)>::write(&session, text)
            .await
            .unwrap();
        (session.unit(), session.commit_all().await)
    }

    /// Returns the points of an undisturbed commit at which the server is about to act, or has acted.
    async fn points(&self) -> BTreeSet<Point> {
        let (binds, plan) = (self.binds().await, FaultPlan::new());
        let (_, undisturbed) = self.commit(&binds, &plan, "undisturbed").await;
        undisturbed.unwrap();
        let mut points: BTreeSet<Point> = plan.passed().into_iter().collect();
        points
            .retain(|point| point.bind.as_deref() == Some("my-a") && point.moment != Moment::Sent);
        points
    }

    async fn leaves_at(&self, point: &Point, operator: Operator) {
        let text = format!("{point} {operator:?}");
        let had: Arc<Mutex<Option<ReplicaState>>> = Arc::default();
        let binds = self.binds().await;
        let leave = {
            let (server, had, text) = (Arc::clone(&self.server), Arc::clone(&had), text.clone());
            Effect::call(move |_| {
                let (server, had, text) = (Arc::clone(&server), Arc::clone(&had), text.clone());
                async move {
                    server.waits(true).await;
                    *had.lock().unwrap() = Some(state(&server, &text).await);
                }
            })
        };
        let plan = FaultPlan::new().at_point(point.clone(), leave);
        let over = CancellationToken::new();
        let killing = async {
            while operator == Operator::KillsThem && !over.is_cancelled() {
                kill_waiting(&self.server).await;
                sleep(Duration::from_millis(2)).await;
            }
        };
        let committing = async {
            let reported = self.commit(&binds, &plan, &text).await;
            let pass = binds.recovery().run_older_than(Duration::ZERO).await;
            over.cancel();
            (reported, pass)
        };
        let (((unit, reported), pass), ()) = tokio::join!(committing, killing);
        assert_eq!(plan.fired().len(), 1, "{text}");
        let had = had.lock().unwrap().unwrap();
        let context = format!("{text}: {had:?}, {reported:?}, {pass}");

        // A failover to the replica would lose everything else. An `XA PREPARE` of a participant waits for no replica.
        if self.holder == HolderPreference::Prefer {
            assert!(reported.is_err() || had.has_ended, "{context}");
            let others = PostgresB::rows(&self.other).await;
            assert!(had.has_ended || !others.contains(&text), "{context}");
        }

        // The replica is back, and has everything.
        self.server.waits(false).await;
        let end = Instant::now() + LONG;
        loop {
            let pass = binds.recovery().run_older_than(Duration::ZERO).await;
            if pass.is_complete() && prepared(&self.server.url(), unit).await.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "{context}; {pass}");
            sleep(Duration::from_millis(20)).await;
        }
        let here = rows(&self.server).await;
        let others = PostgresB::rows(&self.other).await;
        assert_eq!(here, others, "{context}");
        let is_kept = here.contains(&text);
        match &reported {
            Ok(_) => assert!(is_kept, "{context}"),
            Err(CommitError::RolledBack { .. }) => assert!(!is_kept, "{context}"),
            Err(CommitError::InDoubt { gid, .. }) => {
                let outcome = binds.recovery().resolve(gid).await.unwrap();
                assert_eq!(outcome == Outcome::Committed, is_kept, "{context}");
            }
            Err(_) => panic!("{context}"),
        }
    }
}

async fn state(server: &Semisync, text: &str) -> ReplicaState {
    let row = format!("SELECT text AS value FROM notes WHERE text = '{text}'");
    let mut admin = Admin::connect(&server.url()).await;
    let has_ended = !admin.values(&row).await.unwrap().is_empty();
    ReplicaState { has_ended }
}

async fn kill_waiting(server: &Semisync) {
    let waiting = "SELECT CAST(ID AS CHAR) AS value FROM information_schema.PROCESSLIST WHERE STATE LIKE '%semi-sync%'";
    let mut admin = server.admin().await;
    for id in admin.values(waiting).await.unwrap() {
        // The session may be gone by now.
        let _ = admin.run(&format!("KILL {id}")).await;
    }
}

async fn leaves_at_each_point(holder: HolderPreference) {
    let world = World::new(holder).await;
    let points = world.points().await;
    assert!(points.len() > 3, "{points:?}");
    for point in &points {
        for operator in [Operator::LetsThemWait, Operator::KillsThem] {
            world.leaves_at(point, operator).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_of_the_holder_leaves_at_each_step() {
    leaves_at_each_point(HolderPreference::Prefer).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_replica_of_a_participant_leaves_at_each_step() {
    leaves_at_each_point(HolderPreference::Avoid).await;
}
