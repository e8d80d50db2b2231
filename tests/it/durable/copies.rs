//! When recovery asks, the address of a database leads to a server that was copied from it. The copy has its id, and may
//! lack its decisions.

use std::time::Duration;

use diesel_binds::config::HolderPreference;
use diesel_binds::error::Fault;
use diesel_binds::recovery::{ForceError, InDoubtReason, Outcome};
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{BindOptions, Binds, CommitError, Gid, RecoveryOptions, SessionOptions};
use kit::admin::Admin;
use kit::copy::{Copy, Role};
use kit::proxy::{Fault as Loss, Proxy};
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, Side};
use kit::standby::NAME;
use tokio::time::{Instant, sleep};

use super::elsewhere::{Moving, restored};

async fn commit<A: Side, B: Side>(binds: &Binds, text: &str) {
    let mut session = binds.session();
    A::write(&session, text).await.unwrap();
    B::write(&session, text).await.unwrap();
    let committed = session.commit_all().await.unwrap();
    assert!(committed.committed().unwrap().pending().is_empty());
}

/// Commits a unit whose coordinator dies right after the decision. Its part on the other bind stays in doubt.
async fn decide<A: Side, B: Side>(binds: &Binds, text: &str) -> Gid {
    let plan = FaultPlan::new().at("decide:after", Effect::Crash);
    let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
    A::write(&session, text).await.unwrap();
    B::write(&session, text).await.unwrap();
    assert!(session.commit_all().await.is_err());
    drop(session);
    let listed = binds.recovery().in_doubt().await;
    let [branch] = &listed.in_doubt[..] else {
        panic!("{text}: {listed}")
    };
    branch.gid.clone().unwrap()
}

fn is_other(fault: &Fault) -> bool {
    matches!(fault, Fault::OtherServer { .. })
}

/// Asserts that recovery asks the holder nothing and leaves the unit in doubt, in a pass and when it is called.
async fn assert_refused(binds: &Binds, gid: &Gid) {
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.recovered.is_empty(), "{pass}");
    assert!(
        matches!(&pass.in_doubt[..], [branch] if matches!(
            &branch.reason,
            InDoubtReason::Holder(fault) if is_other(fault)
        )),
        "{pass}"
    );
    assert!(
        matches!(&pass.unreachable[..], [(bind, fault)] if *bind == gid.holder() && is_other(fault)),
        "{pass}"
    );
    let resolved = binds.recovery().resolve(gid).await.unwrap_err();
    assert!(is_other(&resolved.source), "{resolved:?}");
    let outcome = binds.recovery().outcome_of(gid).await.unwrap_err();
    assert!(is_other(&outcome.source), "{outcome:?}");
    // The original may work, and has decided.
    let force = binds.recovery().force(gid, Outcome::RolledBack, "lost");
    let forced = force.await.unwrap_err();
    assert!(
        matches!(&forced, ForceError::HolderUnclear { source, .. } if is_other(source)),
        "{forced:?}"
    );
}

async fn assert_recovered(binds: &Binds, gid: &Gid) {
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(pass.is_complete() && pass.recovered.len() == 1, "{pass}");
    assert_eq!(
        binds.recovery().resolve(gid).await.unwrap(),
        Outcome::Committed
    );
}

async fn decisions(url: &str) -> Vec<String> {
    let mut admin = Admin::connect(url).await;
    let query = "SELECT outcome AS value FROM diesel_binds_decision";
    admin.values(query).await.unwrap()
}

/// Regression test: recovery knew the holder by its id alone. It wrote a fence in the copy and rolled the branch back,
/// while the original had committed.
#[tokio::test]
async fn a_copy_of_the_holder_is_not_asked() {
    let world = Moving::new().await;
    let copy = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    let copied = copy.url(world.database.url());
    let binds = world.both_with(HolderPreference::Prefer).await;
    let gid = decide::<PostgresA, PostgresB>(&binds, "kept").await;
    world.address.lead_to(&copied).await;
    assert_refused(&binds, &gid).await;
    assert!(decisions(&copied).await.is_empty(), "no fence");
    world.address.lead_to(world.database.url()).await;
    assert_recovered(&binds, &gid).await;
    assert_eq!(PostgresA::rows(&world.database).await, ["kept"]);
    assert_eq!(PostgresB::rows(&world.holder).await, ["kept"]);
}

/// The reply to the decision was lost, and no pass had asked the holder before: only the unit knows its server.
#[tokio::test]
async fn a_copy_is_not_asked_about_a_decision_without_a_reply() {
    let world = Moving::new().await;
    let copy = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    let copied = copy.url(world.database.url());
    let binds = world.both_with(HolderPreference::Prefer).await;
    let mut session = binds.session();
    PostgresA::write(&session, "kept").await.unwrap();
    PostgresB::write(&session, "kept").await.unwrap();
    world.address.lead_to(&copied).await;
    let decision = "INSERT INTO public.diesel_binds_decision";
    world.address.inject(Loss::after(decision));
    let CommitError::InDoubt { gid, .. } = session.commit_all().await.unwrap_err() else {
        panic!("another server answers")
    };
    drop(session);
    assert_refused(&binds, &gid).await;
    assert!(decisions(&copied).await.is_empty(), "no fence");
    world.address.lead_to(world.database.url()).await;
    assert_recovered(&binds, &gid).await;
}

/// Regression test, like the one above.
#[tokio::test]
async fn a_restored_holder_of_mariadb_is_not_asked() {
    let (database, other) = (MariadbA::database().await, PostgresB::database().await);
    let restored = restored(&database).await;
    let address = Proxy::start(database.url()).await;
    let (pool, holder) = (
        PoolKind::Deadpool,
        BindOptions::new().holder(HolderPreference::Prefer),
    );
    let builder = Binds::builder()
        .namespace(database.name().unwrap().replace('_', "-"))
        .recovery(RecoveryOptions::new().without_worker())
        .resolve_timeout(Duration::from_secs(1));
    let url = address.url(database.url());
    let builder = MariadbA::register(builder, &url, pool, 1, holder).await;
    let builder = PostgresB::register(builder, other.url(), pool, 1, BindOptions::new()).await;
    let binds = builder.build().unwrap();
    let gid = decide::<MariadbA, PostgresB>(&binds, "kept").await;
    address.lead_to(&restored).await;
    assert_refused(&binds, &gid).await;
    assert!(decisions(&restored).await.is_empty(), "no fence");
    address.lead_to(database.url()).await;
    assert_recovered(&binds, &gid).await;
    assert_eq!(MariadbA::rows(&database).await, ["kept"]);
    assert_eq!(PostgresB::rows(&other).await, ["kept"]);
    let name = database.name().unwrap();
    let mut admin = Admin::connect(Server::MariadbB.url().as_str()).await;
    admin.run(&format!("DROP DATABASE {name}")).await.unwrap();
}

/// A failover must not leave units in doubt. After it, the earlier primary may lack what the new one has decided.
#[tokio::test]
async fn a_promoted_standby_with_all_commits_takes_the_place_of_its_primary() {
    let world = Moving::new().await;
    let standby = standby().await;
    let promoted = standby.url(world.database.url());
    let binds = world.both_with(HolderPreference::Prefer).await;
    commit::<PostgresA, PostgresB>(&binds, "first").await;
    let gid = decide::<PostgresA, PostgresB>(&binds, "kept").await;
    let end = Instant::now() + Duration::from_secs(60);
    while decisions(&promoted).await.len() < 2 {
        assert!(Instant::now() < end, "the standby does not follow");
        sleep(Duration::from_millis(20)).await;
    }
    standby.promote().await;
    world.address.lead_to(&promoted).await;
    assert_recovered(&binds, &gid).await;
    world.address.lead_to(world.database.url()).await;
    let resolved = binds.recovery().resolve(&gid).await.unwrap_err();
    assert!(is_other(&resolved.source), "{resolved:?}");
    assert_eq!(
        PostgresA::rows(&world.database).await,
        PostgresB::rows(&world.holder).await
    );
}

/// A standby that commits do not wait for can lack them, and a backup that was restored to a point in time is promoted
/// as well.
#[tokio::test]
async fn a_promoted_standby_that_lacks_a_confirmed_commit_is_not_asked() {
    let world = Moving::new().await;
    let standby = standby().await;
    standby.promote().await;
    let binds = world.both_with(HolderPreference::Prefer).await;
    commit::<PostgresA, PostgresB>(&binds, "first").await;
    let gid = decide::<PostgresA, PostgresB>(&binds, "kept").await;
    world
        .address
        .lead_to(&standby.url(world.database.url()))
        .await;
    assert_refused(&binds, &gid).await;
    world.address.lead_to(world.database.url()).await;
    assert_recovered(&binds, &gid).await;
}

/// Either server may have decided the unit, and neither can tell for the other.
#[tokio::test]
async fn after_units_on_an_original_and_on_its_copy_recovery_waits_for_the_operator() {
    let world = Moving::new().await;
    let copy = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    let copied = copy.url(world.database.url());
    let binds = world.both_with(HolderPreference::Prefer).await;
    commit::<PostgresA, PostgresB>(&binds, "first").await;
    world.address.lead_to(&copied).await;
    world.address.cut();
    notice_restart(&binds).await;
    let gid = decide::<PostgresA, PostgresB>(&binds, "kept").await;
    for url in [world.database.url(), &copied] {
        world.address.lead_to(url).await;
        let resolved = binds.recovery().resolve(&gid).await.unwrap_err();
        assert!(is_other(&resolved.source), "{url}: {resolved:?}");
    }
    binds.keep_identity("pg-a").await.unwrap();
    assert_recovered(&binds, &gid).await;
}

/// The copy lists no branch, and the records of the holder would be deleted.
#[tokio::test]
async fn the_list_of_a_copy_of_a_participant_is_not_used() {
    let world = Moving::new().await;
    let copy = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    let binds = world.both().await;
    let gid = decide::<PostgresB, PostgresA>(&binds, "kept").await;
    world.address.lead_to(&copy.url(world.database.url())).await;
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(
        matches!(&pass.unreachable[..], [("pg-a", fault)] if is_other(fault)),
        "{pass}"
    );
    world.address.lead_to(world.database.url()).await;
    assert_recovered(&binds, &gid).await;
}

async fn standby() -> Copy {
    Copy::of(Server::PostgresA.url().as_str(), Role::Standby(NAME)).await
}

/// Commits on one bind until a unit has noticed that another server answers.
async fn notice_restart(binds: &Binds) {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let mut session = binds.session();
        let written = PostgresA::write(&session, "alone").await;
        if written.is_ok() && session.commit_all().await.is_ok() {
            return;
        }
        assert!(Instant::now() < end, "the copy does not answer");
    }
}
