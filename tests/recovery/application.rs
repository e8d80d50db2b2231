//! An application with a bind of each backend, and what processes of it left that died.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{
    BindOptions, Binds, BindsBuilder, Gid, Outcome, RecoveryOptions, SessionOptions,
};
use tokio::time::{Instant, sleep};

use crate::suite::prepared::{finish, prepared};
use crate::suite::side::{MariadbA, PoolKind, PostgresA, Side, Sqlite};
use crate::suite::world::Sides;
use crate::support::admin::Admin;
use crate::support::database::Database;

pub(crate) type Three = (PostgresA, MariadbA, Sqlite);

/// The longest that anything may take, on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(40);

/// Databases and a namespace of its own: MariaDB lists the branches of all databases of the server. The file holds the
/// decisions.
pub(crate) struct Application {
    pub(crate) namespace: String,
    pub(crate) databases: Vec<Database>,
}

/// What a process that died had got done on the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    Undecided,
    Committed,
}

impl Application {
    pub(crate) async fn new() -> Self {
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

    pub(crate) fn postgres(&self) -> &Database {
        &self.databases[0]
    }

    pub(crate) fn mariadb(&self) -> &Database {
        &self.databases[1]
    }

    /// The holder.
    pub(crate) fn file(&self) -> &Database {
        &self.databases[2]
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        let databases = self.databases.iter();
        databases
            .map(|database| database.url().to_owned())
            .collect()
    }

    /// A process of the application without a worker.
    pub(crate) async fn process(&self) -> Binds {
        self.process_with(RecoveryOptions::new().elsewhere()).await
    }

    pub(crate) async fn process_with(&self, options: RecoveryOptions) -> Binds {
        let builder = Binds::builder().recovery(options);
        self.register(builder).await.build().unwrap()
    }

    pub(crate) async fn register(&self, builder: BindsBuilder) -> BindsBuilder {
        let builder = builder.namespace(&self.namespace);
        let options = BindOptions::new();
        Three::register(builder, &self.urls(), PoolKind::Deadpool, &options).await
    }

    /// A process dies in the middle of a unit that writes everywhere.
    pub(crate) async fn leave(&self, left: Left) -> Gid {
        let point = match left {
            Left::Undecided => "decide:before",
            Left::Committed => "decide:after",
        };
        let plan = FaultPlan::new().at(point, Effect::Crash);
        let process = self.process().await;
        let mut session = process.session_with(SessionOptions::new().faults(&plan));
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

    /// The id of one of the databases.
    pub(crate) async fn id(&self, database: &Database) -> String {
        let mut admin = Admin::connect(database.url()).await;
        let ids = admin.values("SELECT holder_id AS value FROM diesel_binds_meta");
        ids.await.unwrap().remove(0)
    }

    /// Whether any server lists a branch of the unit.
    pub(crate) async fn is_prepared(&self, gid: &Gid) -> bool {
        for url in self.urls() {
            if !prepared(&url, gid.unit()).await.is_empty() {
                return true;
            }
        }
        false
    }

    /// Waits until no server lists a branch of the unit.
    pub(crate) async fn wait_until_finished(&self, gid: &Gid) {
        let end = Instant::now() + LONG;
        while self.is_prepared(gid).await {
            assert!(Instant::now() < end, "{gid} is not finished");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Rolls the branches of the unit back, as an operator would. One that stays keeps its database from being dropped.
    pub(crate) async fn roll_back(&self, gid: &Gid) {
        for url in self.urls() {
            for branch in prepared(&url, gid.unit()).await {
                finish(&url, &branch, Outcome::Abort).await;
            }
        }
    }

    /// Whether the unit is everywhere. Panics if it is torn.
    pub(crate) async fn is_kept(&self, gid: &Gid) -> bool {
        let unit = gid.unit().to_string();
        let kept = [
            PostgresA::rows(self.postgres()).await.contains(&unit),
            MariadbA::rows(self.mariadb()).await.contains(&unit),
            Sqlite::rows(self.file()).await.contains(&unit),
        ];
        assert!(kept.iter().all(|one| *one == kept[0]), "torn: {kept:?}");
        kept[0]
    }
}
