//! An application with a bind of each backend, and the branches that its dead processes left.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{BindOptions, Binds, BindsBuilder, Gid, RecoveryOptions, SessionOptions};
use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::database::Database;
use crate::prepared::{finish, prepared};
use crate::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use crate::world::Sides;

pub type Three = (PostgresA, MariadbA, Sqlite);

/// The longest time that any step may take on a loaded machine.
pub const LONG: Duration = Duration::from_secs(40);

/// An application with databases and a namespace of its own, because MariaDB lists the branches of all databases of the
/// server. The SQLite file holds the decisions.
pub struct Application {
    pub namespace: String,
    pub databases: Vec<Database>,
}

/// The progress on the holder when a process died.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    Undecided,
    Committed,
}

impl Application {
    pub async fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        Self {
            namespace: format!(
                "recovery-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ),
            databases: Three::databases().await,
        }
    }

    pub fn postgres(&self) -> &Database {
        &self.databases[0]
    }

    pub fn mariadb(&self) -> &Database {
        &self.databases[1]
    }

    /// Returns the holder, the SQLite file.
    pub fn file(&self) -> &Database {
        &self.databases[2]
    }

    pub fn urls(&self) -> Vec<String> {
        let databases = self.databases.iter();
        databases
            .map(|database| database.url().to_owned())
            .collect()
    }

    /// Starts a process of the application without a worker.
    pub async fn process(&self) -> Binds {
        self.process_with(RecoveryOptions::new().without_worker())
            .await
    }

    pub async fn process_with(&self, options: RecoveryOptions) -> Binds {
        let builder = Binds::builder().recovery(options);
        self.register(builder).await.build().unwrap()
    }

    pub async fn register(&self, builder: BindsBuilder) -> BindsBuilder {
        let builder = builder.namespace(&self.namespace);
        let options = BindOptions::new();
        Three::register(builder, &self.urls(), PoolKind::Deadpool, &options).await
    }

    /// Lets a process die in the middle of a unit that writes on every bind, and returns the gid of that unit.
    pub async fn leave(&self, left: Left) -> Gid {
        let point = match left {
            Left::Undecided => "decide:before",
            Left::Committed => "decide:after",
        };
        let plan = FaultPlan::new().at(point, Effect::Crash);
        let process = self.process().await;
        let mut session = process.with(SessionOptions::new().faults(&plan)).session();
        let unit = session.unit();
        Three::write(&session, &unit.to_string()).await.unwrap();
        let interrupted = session.commit_all().await;
        assert!(interrupted.is_err(), "{interrupted:?}");
        drop(session);
        format!(
            "db1:{}:{unit}:lite:{}",
            self.namespace,
            self.id(self.file()).await
        )
        .parse()
        .unwrap()
    }

    /// Returns the id of one of the databases.
    pub async fn id(&self, database: &Database) -> String {
        let mut admin = Admin::connect(database.url()).await;
        let ids = admin.values("SELECT holder_id AS value FROM diesel_binds_meta");
        ids.await.unwrap().remove(0)
    }

    /// Returns whether any server lists a branch of the unit.
    pub async fn is_prepared(&self, gid: &Gid) -> bool {
        for url in self.urls() {
            if !prepared(&url, gid.unit()).await.is_empty() {
                return true;
            }
        }
        false
    }

    /// Waits until no server lists a branch of the unit.
    pub async fn wait_until_finished(&self, gid: &Gid) {
        let end = Instant::now() + LONG;
        while self.is_prepared(gid).await {
            assert!(Instant::now() < end, "{gid} is not finished");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Rolls the branches of the unit back by hand. A database with a prepared branch cannot be dropped.
    pub async fn roll_back(&self, gid: &Gid) {
        for url in self.urls() {
            for branch in prepared(&url, gid.unit()).await {
                finish(&url, &branch, Outcome::RolledBack).await;
            }
        }
    }

    /// Returns whether the unit is on every database. Panics if it is torn.
    pub async fn is_kept(&self, gid: &Gid) -> bool {
        let unit = gid.unit().to_string();
        let kept = [
            PostgresA::rows(self.postgres()).await.contains(&unit),
            MariadbA::rows(self.mariadb()).await.contains(&unit),
            Sqlite::rows(self.file()).await.contains(&unit),
        ];
        assert!(kept.iter().all(|one| *one == kept[0]), "torn: {kept:?}");
        kept[0]
    }

    /// Returns the gid of a new unit of a namespace, held by `holder`.
    pub async fn gid_of_new_unit(&self, namespace: &str, holder: &str) -> Gid {
        let unit = self.process().await.session().unit();
        let id = self.id(self.file()).await;
        format!("db1:{namespace}:{unit}:{holder}:{id}")
            .parse()
            .unwrap()
    }

    /// Prepares a branch on MariaDB, as if its process had died `seconds` ago between two steps of a commit. Nothing
    /// else can finish the branch while the returned connection lives.
    pub async fn prepare_on_mariadb(&self, gid: &Gid, row: bool, seconds: u32) -> Admin {
        let (unit, holder, namespace) = (gid.unit(), gid.holder(), gid.namespace());
        let id = gid.to_string().rsplit(':').next().unwrap().to_owned();
        let xid = format!("'{namespace}:{unit}','my-a',1145188401");
        let row = match row {
            true => format!(
                "INSERT INTO diesel_binds_branch (unit, branch, holder, holder_id, connection_id, parts, namespace, at) \
                 VALUES ('{unit}', 'my-a', '{holder}', '{id}', CONNECTION_ID(), 1, '{namespace}', \
                 NOW(6) - INTERVAL {seconds} SECOND); "
            ),
            false => String::new(),
        };
        let mut admin = Admin::connect(self.mariadb().url()).await;
        let prepare = format!(
            "XA START {xid}; INSERT INTO notes (text) VALUES ('{unit}'); {row}XA END {xid}; XA PREPARE {xid}"
        );
        admin.run(&prepare).await.unwrap();
        admin
    }
}
