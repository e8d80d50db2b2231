//! An operator's calls while the address of a database leads to another server: `force`, `outcome_of` and
//! `renew_identity` ask and change only the database that they are for.

use std::time::Duration;

use diesel_binds::backend::Backend;
use diesel_binds::error::Fault as Cause;
use diesel_binds::recovery::{ForceError, ForceOptions, InDoubtReason, Outcome};
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{Bind, BindOptions, Binds, BindsBuilder, Gid, RecoveryOptions, SessionOptions};
use kit::admin::Admin;
use kit::database::Database;
use kit::prepared::prepared;
use kit::proxy::{Fault, Proxy};
use kit::servers::Server;
use kit::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};

/// The delay of a message. Meanwhile, the address leads to another server.
const LATE: Duration = Duration::from_secs(1);

const ID: &str = "SELECT holder_id AS value FROM diesel_binds_meta";

/// A database with an address that can lead to another one, of the same name on another server.
struct Moving {
    database: Database,
    other: Database,
    address: Proxy,
    file: Database,
    namespace: String,
}

impl Moving {
    /// Creates both databases. The other one has the same id, as if it was restored from a dump.
    async fn new<S: Side>(other: Server) -> Self {
        let database = S::database().await;
        let other = database.namesake_on(other).await;
        let backend = match database.url().starts_with("mysql") {
            true => Backend::Mysql,
            false => Backend::Postgres,
        };
        let mut admin = Admin::connect(other.url()).await;
        admin.run(backend.protocol_migration().up).await.unwrap();
        let moving = Self {
            namespace: database.name().unwrap_or_default().replace('_', "-"),
            address: Proxy::start(database.url()).await,
            database,
            other,
            file: Sqlite::database().await,
        };
        moving.rename_other(&id(&moving.database).await).await;
        moving
    }

    async fn rename_other(&self, id: &str) {
        let mut admin = Admin::connect(self.other.url()).await;
        let renamed = format!("UPDATE diesel_binds_meta SET holder_id = '{id}'");
        admin.run(&renamed).await.unwrap();
    }

    async fn builder<S: Side>(&self, options: BindOptions) -> BindsBuilder {
        let builder = Binds::builder()
            .namespace(&self.namespace)
            .recovery(RecoveryOptions::new().without_worker())
            .resolve_timeout(Duration::from_secs(1));
        let url = self.address.url(self.database.url());
        S::register(builder, &url, PoolKind::Deadpool, 1, options).await
    }

    async fn lead_to_other(&self) {
        self.address.lead_to(self.other.url()).await;
    }

    async fn lead_back(&self) {
        self.address.lead_to(self.database.url()).await;
    }

    /// Leaves a branch of a unit that was never decided. The file is its holder.
    async fn leave<S: Side>(&self, text: &str) -> Gid {
        let builder = self.builder::<S>(BindOptions::new()).await;
        let (url, options) = (self.file.url(), BindOptions::new());
        let builder = Sqlite::register(builder, url, PoolKind::Deadpool, 1, options).await;
        let binds = builder.build().unwrap();
        let plan = FaultPlan::new().at("decide:before", Effect::Crash);
        let mut session = binds.with(SessionOptions::new().faults(&plan)).session();
        S::write(&session, text).await.unwrap();
        Sqlite::write(&session, text).await.unwrap();
        let unit = session.unit();
        assert!(session.commit_all().await.is_err());
        let id = id(&self.file).await;
        let gid = format!("db1:{}:{unit}:lite:{id}", self.namespace);
        gid.parse().unwrap()
    }
}

async fn id(database: &Database) -> String {
    let mut admin = Admin::connect(database.url()).await;
    admin.values(ID).await.unwrap().remove(0)
}

async fn forced(database: &Database, gid: &Gid) -> Vec<String> {
    let mut admin = Admin::connect(database.url()).await;
    let rows = format!(
        "SELECT outcome AS value FROM diesel_binds_forced WHERE unit = '{}'",
        gid.unit()
    );
    admin.values(&rows).await.unwrap()
}

/// The branch is in the database that listed it. In its place, the records of an operator would exclude nobody, and the
/// branch would count as finished.
async fn forces_only_where_it_was_listed<S: Side>(other: Server, list: Fault) {
    let moving = Moving::new::<S>(other).await;
    let holderless = moving.builder::<S>(BindOptions::new()).await;
    let binds = holderless.build().unwrap();
    let read = "diesel_binds_forced WHERE unit";
    for (moment, late) in [
        ("before the read", list.clone()),
        ("before the record", Fault::before(read).delaying(LATE)),
        (
            "before the finish",
            Fault::before(read).occurrence(2).delaying(LATE),
        ),
    ] {
        let gid = moving.leave::<S>(moment).await;
        // A record that contradicts the operator.
        let contradiction = format!(
            "INSERT INTO diesel_binds_forced (unit, gid, outcome, reason) VALUES ('{}', '{gid}', 'commit', 'another')",
            gid.unit()
        );
        let mut admin = Admin::connect(moving.other.url()).await;
        admin.run(&contradiction).await.unwrap();

        let fired = moving.address.fired();
        moving.address.inject(late);
        let force = || {
            let options = ForceOptions::new().holder_is_gone();
            binds
                .recovery()
                .force_with(&gid, Outcome::RolledBack, "the disk burnt", options)
        };
        let leave = async {
            moving.address.wait_fired(fired + 1).await;
            moving.lead_to_other().await;
        };
        let (result, ()) = tokio::join!(force(), leave);
        match (moment, &result) {
            ("before the finish", Ok(report)) => assert!(
                matches!(&report.in_doubt[..], [branch] if matches!(
                    &branch.reason,
                    InDoubtReason::Unfinished(Outcome::RolledBack, fault) if matches!(**fault, Cause::Replaced)
                )),
                "{moment}: {report}"
            ),
            ("before the read" | "before the record", Err(error)) => assert!(
                matches!(
                    error,
                    ForceError::Unreachable {
                        source: Cause::Replaced,
                        ..
                    }
                ),
                "{moment}: {error:?}"
            ),
            _ => panic!("{moment}: {result:?}"),
        }
        assert_eq!(prepared(moving.database.url(), gid.unit()).await.len(), 1);
        assert_eq!(forced(&moving.other, &gid).await, ["commit"], "{moment}");
        let recorded = forced(&moving.database, &gid).await;
        assert_eq!(recorded.is_empty(), moment != "before the finish");

        moving.lead_back().await;
        let report = force().await.unwrap();
        assert!(
            report.is_complete() && report.recovered.len() == 1,
            "{moment}: {report}"
        );
        assert!(prepared(moving.database.url(), gid.unit()).await.is_empty());
        assert_eq!(forced(&moving.database, &gid).await, ["abort"], "{moment}");
    }
}

#[tokio::test]
async fn postgresql_forces_a_unit_only_where_it_was_listed() {
    let list = Fault::before("pg_prepared_xacts").delaying(LATE);
    forces_only_where_it_was_listed::<PostgresA>(Server::PostgresB, list).await;
}

#[tokio::test]
async fn mariadb_forces_a_unit_only_where_it_was_listed() {
    // Several questions follow for each branch on the server, also for those of other tests, and each is as late.
    let list = match MariadbA::is_mysql() {
        true => "SELECT namespace, unit, branch FROM diesel_binds_branch",
        false => "XA RECOVER",
    };
    let list = Fault::before(list).delaying(LATE / 10);
    forces_only_where_it_was_listed::<MariadbA>(Server::MariadbB, list).await;
}

/// Commits a unit whose only bind holds its record.
async fn commit_recorded<S: Side>(binds: &Binds, text: &str) -> Gid {
    let mut session = binds.session();
    S::write(&session, text).await.unwrap();
    let committed = session.commit_all().await.unwrap();
    committed.committed().unwrap().gid().unwrap().clone()
}

/// A database without the record would report a committed unit as one that was rolled back, and fence it.
async fn assert_not_asked(binds: &Binds, gid: &Gid) {
    let answer = binds.recovery().outcome_of(gid).await.unwrap_err();
    assert!(matches!(answer.source, Cause::Replaced), "{answer:?}");
    let answer = binds.recovery().resolve(gid).await.unwrap_err();
    assert!(matches!(answer.source, Cause::Replaced), "{answer:?}");
}

async fn assert_committed(binds: &Binds, gid: &Gid) {
    let answer = binds.recovery().outcome_of(gid).await.unwrap();
    assert_eq!(answer, Some(Outcome::Committed));
    let answer = binds.recovery().resolve(gid).await.unwrap();
    assert_eq!(answer, Outcome::Committed);
}

async fn asks_only_its_holder<S: Side>(other: Server) {
    let moving = Moving::new::<S>(other).await;
    moving.rename_other(&"e".repeat(32)).await;
    let recorded = BindOptions::new().record_every_commit();
    let binds = moving.builder::<S>(recorded).await.build().unwrap();
    let gid = commit_recorded::<S>(&binds, "kept").await;
    moving.lead_to_other().await;
    assert_not_asked(&binds, &gid).await;
    let mut admin = Admin::connect(moving.other.url()).await;
    let rows = "SELECT unit AS value FROM diesel_binds_decision";
    assert!(admin.values(rows).await.unwrap().is_empty(), "a fence");
    moving.lead_back().await;
    assert_committed(&binds, &gid).await;
}

#[tokio::test]
async fn the_outcome_of_a_unit_is_asked_of_no_other_database() {
    asks_only_its_holder::<PostgresA>(Server::PostgresB).await;
    asks_only_its_holder::<MariadbA>(Server::MariadbB).await;
}

#[tokio::test]
async fn the_outcome_of_a_unit_is_asked_of_no_other_file() {
    let (file, other) = (Sqlite::database().await, Sqlite::database().await);
    let builder = Binds::builder()
        .namespace("moving")
        .recovery(RecoveryOptions::new().without_worker());
    let recorded = BindOptions::new().record_every_commit();
    let builder = Sqlite::register(builder, file.url(), PoolKind::Deadpool, 1, recorded).await;
    let binds = builder.build().unwrap();
    let gid = commit_recorded::<Sqlite>(&binds, "kept").await;
    let aside = format!("{}.aside", file.url());
    std::fs::rename(file.url(), &aside).unwrap();
    std::fs::rename(other.url(), file.url()).unwrap();
    assert_not_asked(&binds, &gid).await;
    std::fs::rename(&aside, file.url()).unwrap();
    assert_committed(&binds, &gid).await;
}

/// The original would lose the id that gids name: its decisions could not be asked for any more.
async fn renews_only_the_database_in_use<S: Side>(other: Server) {
    let moving = Moving::new::<S>(other).await;
    let binds = moving
        .builder::<S>(BindOptions::new())
        .await
        .build()
        .unwrap();
    let mut session = binds.session();
    S::write(&session, "used").await.unwrap();
    session.commit_all().await.unwrap();
    let before = id(&moving.database).await;
    moving.lead_to_other().await;
    let key = <S::Bind as Bind>::KEY;
    let refused = binds.renew_identity(key).await;
    assert!(matches!(refused, Err(Cause::Replaced)), "{refused:?}");
    assert_eq!(id(&moving.other).await, before);
    assert_eq!(id(&moving.database).await, before);
    moving.lead_back().await;
    binds.renew_identity(key).await.unwrap();
    assert_ne!(id(&moving.database).await, before);
    assert_eq!(id(&moving.other).await, before);
}

#[tokio::test]
async fn an_id_is_renewed_in_no_other_database() {
    renews_only_the_database_in_use::<PostgresA>(Server::PostgresB).await;
    renews_only_the_database_in_use::<MariadbA>(Server::MariadbB).await;
}
