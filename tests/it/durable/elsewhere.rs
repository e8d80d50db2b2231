//! The address of a database leads to another server from one moment on. The answers of that server about a unit are
//! not trusted.

use std::time::Duration;

use diesel_binds::config::HolderPreference;
use diesel_binds::error::Fault as Cause;
use diesel_binds::recovery::{InDoubtReason, Outcome};
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{BindOptions, Binds, CommitError, RecoveryOptions, SessionOptions, UnitId};
use kit::admin::Admin;
use kit::copy::{Copy, Role};
use kit::database::Database;
use kit::prepared::prepared;
use kit::proxy::{Fault, Proxy};
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, PostgresB, Side};
use kit::standby::NAME;
use tokio::time::sleep;

/// A database whose address can lead elsewhere, and a holder.
pub(super) struct Moving {
    pub(super) database: Database,
    pub(super) address: Proxy,
    pub(super) holder: Database,
    holder_address: Proxy,
    /// The namespace of the test: PostgreSQL lists the branches of all databases of the server.
    namespace: String,
}

impl Moving {
    pub(super) async fn new() -> Self {
        let (database, holder) = (PostgresA::database().await, PostgresB::database().await);
        let namespace = database.name().unwrap_or_default().replace('_', "-");
        Self {
            namespace,
            address: Proxy::start(database.url()).await,
            holder_address: Proxy::start(holder.url()).await,
            database,
            holder,
        }
    }

    fn builder(&self) -> diesel_binds::BindsBuilder {
        Binds::builder()
            .namespace(&self.namespace)
            .recovery(RecoveryOptions::new().without_worker())
            .resolve_timeout(Duration::from_secs(1))
    }

    async fn alone(&self) -> Binds {
        let builder = self.builder();
        let url = self.address.url(self.database.url());
        PostgresA::register(builder, &url, PoolKind::Deadpool, 1, BindOptions::new())
            .await
            .build()
            .unwrap()
    }

    pub(super) async fn both(&self) -> Binds {
        self.both_with(HolderPreference::Avoid).await
    }

    /// Returns binds over both databases. `holder` sets whether the database that moves is the holder.
    pub(super) async fn both_with(&self, holder: HolderPreference) -> Binds {
        let (builder, pool) = (self.builder(), PoolKind::Deadpool);
        let options = BindOptions::new().holder(holder);
        let url = self.address.url(self.database.url());
        let builder = PostgresA::register(builder, &url, pool, 1, options).await;
        let url = self.holder_address.url(self.holder.url());
        PostgresB::register(builder, &url, pool, 1, BindOptions::new())
            .await
            .build()
            .unwrap()
    }
}

/// Returns other servers with the same tables and the same database id.
async fn others(database: &Database) -> Vec<(&'static str, Copy)> {
    let original = Server::PostgresA.url();
    let standby = Copy::of(original.as_str(), Role::Standby(NAME)).await;
    standby.promote().await;
    let restored = Copy::of(original.as_str(), Role::Independent).await;
    let others = vec![("promoted", standby), ("restored", restored)];
    for (_, other) in &others {
        // Each transaction id that the original gives after the copy also exists on the copy.
        let mut admin = Admin::connect(&other.url(database.url())).await;
        let many = "DO $$ BEGIN FOR i IN 1..3000 LOOP PERFORM pg_catalog.txid_current(); COMMIT; END LOOP; END $$";
        admin.run(many).await.unwrap();
    }
    others
}

/// Regression test: the bare id of the transaction was looked up wherever the address led. The commit of another
/// transaction was taken for this one.
#[tokio::test]
async fn a_lone_commit_is_not_looked_up_on_another_server() {
    let world = Moving::new().await;
    for (name, other) in others(&world.database).await {
        let binds = world.alone().await;
        let mut session = binds.session();
        // The question for the id is prepared once on each connection.
        PostgresA::write(&session, &format!("warm {name}"))
            .await
            .unwrap();
        session.commit_all().await.unwrap();
        PostgresA::write(&session, name).await.unwrap();
        // The id arrives, but the commit never does.
        let late = Fault::before("COMMIT").delaying(Duration::from_secs(60));
        world.address.inject(late);
        let leave = async {
            let fired = world.address.fired();
            world.address.wait_fired(fired.max(1)).await;
            sleep(Duration::from_millis(300)).await;
            world
                .address
                .lead_to(&other.url(world.database.url()))
                .await;
            world.address.cut();
        };
        let (result, ()) = tokio::join!(session.commit_all(), leave);
        assert!(
            matches!(result, Err(CommitError::Unknown { .. })),
            "{name}: {result:?}"
        );
        world.address.lead_to(world.database.url()).await;
        assert!(
            !PostgresA::rows(&world.database)
                .await
                .contains(&name.to_owned())
        );
    }
}

/// Asserts that the branch is still prepared, and that recovery finishes it where the address leads to its database.
async fn assert_recovered_there(world: &Moving, binds: &Binds, unit: UnitId, name: &str) {
    assert!(has_branch(world, unit).await, "{name}");
    world.address.lead_to(world.database.url()).await;
    let pass = binds.recovery().run_older_than(Duration::ZERO).await;
    assert!(
        pass.is_complete() && pass.recovered.len() == 1,
        "{name}: {pass}"
    );
    assert!(!has_branch(world, unit).await, "{name}");
}

async fn has_branch(world: &Moving, unit: UnitId) -> bool {
    !prepared(world.database.url(), unit).await.is_empty()
}

/// Regression test: a branch that another server did not list was taken for finished, while it was prepared.
#[tokio::test]
async fn a_branch_that_another_server_does_not_list_is_pending() {
    let world = Moving::new().await;
    let mut others = others(&world.database).await;
    let different = Copy::of(Server::PostgresA.url().as_str(), Role::Independent).await;
    let mut admin = Admin::connect(&different.url(world.database.url())).await;
    let renamed = "UPDATE diesel_binds_meta SET holder_id = pg_catalog.md5('another')";
    admin.run(renamed).await.unwrap();
    others.push(("different", different));
    for (name, other) in others {
        let binds = world.both().await;
        let mut session = binds.session();
        PostgresA::write(&session, name).await.unwrap();
        PostgresB::write(&session, name).await.unwrap();
        let unit = session.unit();
        world
            .address
            .lead_to(&other.url(world.database.url()))
            .await;
        world.address.inject(Fault::before("COMMIT PREPARED"));
        let committed = session.commit_all().await.unwrap();
        assert_eq!(committed.committed().unwrap().pending(), ["pg-a"], "{name}");
        assert_recovered_there(&world, &binds, unit, name).await;
    }
    assert_eq!(
        PostgresA::rows(&world.database).await,
        PostgresB::rows(&world.holder).await
    );
}

/// Regression test: the fence was written in a copy without a record. The caller got "rolled back", and the holder had
/// committed.
#[tokio::test]
async fn a_decision_is_not_looked_up_on_a_copy_of_its_holder() {
    let world = Moving::new().await;
    for (name, other) in others(&world.database).await {
        let binds = world.both_with(HolderPreference::Prefer).await;
        let plan = FaultPlan::new().at("decide:pg-a:after", Effect::Disconnect);
        let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
        PostgresA::write(&session, name).await.unwrap();
        PostgresB::write(&session, name).await.unwrap();
        world
            .address
            .lead_to(&other.url(world.database.url()))
            .await;
        let error = session.commit_all().await.unwrap_err();
        let CommitError::InDoubt { gid, source } = &error else {
            panic!("{name}: {error:?}")
        };
        assert!(matches!(source, Cause::Replaced), "{name}: {error:?}");
        world.address.lead_to(world.database.url()).await;
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        assert!(
            pass.is_complete() && pass.recovered.len() == 1,
            "{name}: {pass}"
        );
        assert_eq!(
            binds.recovery().resolve(gid).await.unwrap(),
            Outcome::Committed
        );
        // The facts about the server are read again, and the next unit is not in doubt.
        let plan = FaultPlan::new().at("decide:pg-a:after", Effect::Disconnect);
        let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
        let next = format!("next {name}");
        PostgresA::write(&session, &next).await.unwrap();
        PostgresB::write(&session, &next).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        assert!(
            committed.committed().unwrap().pending().is_empty(),
            "{name}: {committed:?}"
        );
    }
    assert_eq!(
        PostgresA::rows(&world.database).await,
        PostgresB::rows(&world.holder).await
    );
}

/// Creates a MariaDB database of the same name and with the same id on another server, like a restored dump.
pub(super) async fn restored(original: &Database) -> String {
    let name = original.name().unwrap();
    let mut url = Server::MariadbB.url();
    let mut admin = Admin::connect(url.as_str()).await;
    admin.run(&format!("CREATE DATABASE {name}")).await.unwrap();
    url.set_path(name);
    let mut admin = Admin::connect(url.as_str()).await;
    let tables = include_str!("../../../migrations/mysql/2026-01-01-000000_diesel_binds/up.sql");
    admin.run(tables).await.unwrap();
    let id = "SELECT holder_id AS value FROM diesel_binds_meta";
    let mut source = Admin::connect(original.url()).await;
    let id = source.values(id).await.unwrap().remove(0);
    let restored = format!("UPDATE diesel_binds_meta SET holder_id = '{id}'");
    admin.run(&restored).await.unwrap();
    url.into()
}

/// Regression test: on MariaDB, only the id identified a database.
#[tokio::test]
async fn a_restored_database_of_mariadb_is_not_believed_in_place_of_its_original() {
    let (database, other) = (MariadbA::database().await, PostgresB::database().await);
    let restored = restored(&database).await;
    for (holder, point) in [
        (HolderPreference::Prefer, "decide:my-a:after"),
        (HolderPreference::Avoid, "apply:my-a:before"),
    ] {
        let address = Proxy::start(database.url()).await;
        let builder = Binds::builder()
            .namespace(database.name().unwrap().replace('_', "-"))
            .recovery(RecoveryOptions::new().without_worker())
            .resolve_timeout(Duration::from_secs(1));
        let (pool, options) = (PoolKind::Deadpool, BindOptions::new().holder(holder));
        let url = address.url(database.url());
        let builder = MariadbA::register(builder, &url, pool, 1, options).await;
        let builder = PostgresB::register(builder, other.url(), pool, 1, BindOptions::new()).await;
        let binds = builder.build().unwrap();
        let plan = FaultPlan::new().at(point, Effect::Disconnect);
        let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
        MariadbA::write(&session, point).await.unwrap();
        PostgresB::write(&session, point).await.unwrap();
        address.lead_to(&restored).await;
        match session.commit_all().await {
            Err(CommitError::InDoubt { source, .. }) if holder == HolderPreference::Prefer => {
                assert!(matches!(source, Cause::Replaced), "{point}: {source:?}");
            }
            Ok(committed) if holder == HolderPreference::Avoid => {
                assert_eq!(
                    committed.committed().unwrap().pending(),
                    ["my-a"],
                    "{point}"
                );
            }
            error => panic!("{point}: {error:?}"),
        }
        drop(session);
        address.lead_to(database.url()).await;
        let pass = binds.recovery().run_older_than(Duration::ZERO).await;
        assert!(
            pass.is_complete() && pass.recovered.len() == 1,
            "{point}: {pass}"
        );
    }
    assert_eq!(
        MariadbA::rows(&database).await,
        PostgresB::rows(&other).await
    );
    let name = database.name().unwrap();
    let mut admin = Admin::connect(Server::MariadbB.url().as_str()).await;
    admin.run(&format!("DROP DATABASE {name}")).await.unwrap();
}

/// The address leads elsewhere between the list of the branches and the finish.
#[tokio::test]
async fn recovery_finishes_a_branch_only_where_it_was_listed() {
    let world = Moving::new().await;
    for (name, other) in others(&world.database).await {
        let binds = world.both().await;
        let plan = FaultPlan::new().at("decide:after", Effect::Crash);
        let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
        PostgresA::write(&session, name).await.unwrap();
        PostgresB::write(&session, name).await.unwrap();
        let unit = session.unit();
        assert!(session.commit_all().await.is_err());
        drop(session);
        let late = Fault::before("diesel_binds_decision").delaying(Duration::from_secs(1));
        let fired = world.holder_address.fired();
        world.holder_address.inject(late);
        let leave = async {
            world.holder_address.wait_fired(fired + 1).await;
            world
                .address
                .lead_to(&other.url(world.database.url()))
                .await;
        };
        let (pass, ()) = tokio::join!(binds.recovery().run_older_than(Duration::ZERO), leave);
        assert!(pass.recovered.is_empty(), "{name}: {pass}");
        assert!(
            matches!(&pass.in_doubt[..], [branch] if matches!(
                &branch.reason,
                InDoubtReason::Unfinished(Outcome::Committed, fault) if matches!(**fault, Cause::Replaced)
            )),
            "{name}: {pass}"
        );
        assert_recovered_there(&world, &binds, unit, name).await;
    }
    assert_eq!(
        PostgresA::rows(&world.database).await,
        PostgresB::rows(&world.holder).await
    );
}
