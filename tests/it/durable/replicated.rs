//! A PostgreSQL server for one test whose commits wait for a standby, and another server without a standby.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_binds::config::HolderPreference;
use diesel_binds::{BindOptions, Binds, RecoveryOptions};
use kit::admin::Admin;
use kit::copy::{Copy, Role};
use kit::database::Database;
use kit::servers::Server;
use kit::side::{PoolKind, PostgresA, PostgresB, Side};
use kit::standby::{NAME, Standby};
use kit::world::Sides;
use tokio::time::{Instant, sleep};

/// The role of the replicated writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HolderSide {
    /// The replicated writer is the holder.
    Replicated,
    /// The other writer is the holder.
    Other,
}

/// The longest time of a step of a commit in these tests.
pub(crate) const STEP: Duration = Duration::from_secs(1);

/// The longest time that any step may take on a loaded machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// Two databases, the first on a server with a synchronous standby.
pub(crate) struct Replicated {
    pub(crate) namespace: String,
    pub(crate) primary: Copy,
    pub(crate) standby: Standby,
    databases: (Database, Database),
}

impl Replicated {
    pub(crate) async fn new() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let databases = (PostgresA::database().await, PostgresB::database().await);
        let server = Server::PostgresA.url();
        let primary = Copy::of(server.as_str(), Role::Independent).await;
        let standby = Standby::following(&primary.url(server.as_str())).await;
        primary.set("synchronous_standby_names", NAME).await;
        Self {
            namespace: format!(
                "durable-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ),
            primary,
            standby,
            databases,
        }
    }

    /// Returns the URL of the replicated database.
    pub(crate) fn url(&self) -> String {
        self.primary.url(self.databases.0.url())
    }

    /// Returns the URL of the replicated database on the standby.
    pub(crate) fn standby_url(&self) -> String {
        self.standby.url(self.databases.0.url())
    }

    /// Returns the database without a standby.
    pub(crate) fn other(&self) -> &Database {
        &self.databases.1
    }

    /// Returns binds over the replicated database alone.
    pub(crate) async fn alone(&self, options: &BindOptions) -> Binds {
        let builder = self.builder();
        <(PostgresA,)>::register(builder, &[self.url()], PoolKind::Deadpool, options)
            .await
            .build()
            .unwrap()
    }

    /// Returns binds over both databases.
    pub(crate) async fn both(&self, holds: HolderSide) -> Binds {
        self.both_at(&self.url(), holds).await
    }

    /// Returns binds over both databases, the replicated one at this URL.
    pub(crate) async fn both_at(&self, url: &str, holds: HolderSide) -> Binds {
        let preference = match holds {
            HolderSide::Replicated => HolderPreference::Prefer,
            HolderSide::Other => HolderPreference::Avoid,
        };
        self.both_with(url, BindOptions::new().holder(preference))
            .await
    }

    /// Returns binds over both databases, the replicated one at this URL and with these options.
    pub(crate) async fn both_with(&self, url: &str, options: BindOptions) -> Binds {
        let (builder, pool) = (self.builder(), PoolKind::Deadpool);
        let builder = PostgresA::register(builder, url, pool, 4, options).await;
        let other = self.other().url();
        PostgresB::register(builder, other, pool, 4, BindOptions::new())
            .await
            .build()
            .unwrap()
    }

    fn builder(&self) -> diesel_binds::BindsBuilder {
        Binds::builder()
            .namespace(&self.namespace)
            .recovery(RecoveryOptions::new().without_worker())
            .step_timeout(STEP)
            .resolve_timeout(2 * STEP)
    }

    /// Returns the committed rows of both databases.
    pub(crate) async fn rows(&self) -> [Vec<String>; 2] {
        self.rows_at(&self.url()).await
    }

    /// Returns the committed rows of both databases, the replicated one at this URL.
    pub(crate) async fn rows_at(&self, url: &str) -> [Vec<String>; 2] {
        [rows(url).await, PostgresB::rows(self.other()).await]
    }

    /// Returns the number of server processes on the primary that wait for the standby.
    pub(crate) async fn waiting(&self) -> usize {
        let waiting =
            "SELECT pid::text AS value FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        let mut admin = self.primary.admin().await;
        admin.values(waiting).await.unwrap().len()
    }

    /// Cancels the statements that wait for the standby, as an operator does.
    pub(crate) async fn cancel_waiting(&self) {
        let cancel = "SELECT pg_cancel_backend(pid)::text AS value FROM pg_stat_activity \
                      WHERE wait_event = 'SyncRep'";
        let mut admin = self.primary.admin().await;
        assert_eq!(admin.values(cancel).await.unwrap(), ["true"]);
    }

    /// Starts the standby, and waits until nothing on the primary waits for it.
    pub(crate) async fn comes_back(&mut self) {
        self.standby.start().await;
        self.wait_until_waiting(0).await;
    }

    /// Alters the replicated database for all later sessions.
    pub(crate) async fn alter_database(&self, setting: &str) {
        let mut admin = Admin::connect(&self.url()).await;
        let alter = format!(
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {setting}', current_database()); END $$"
        );
        admin.run(&alter).await.unwrap();
    }

    /// Waits until this many server processes of the primary wait for the standby.
    pub(crate) async fn wait_until_waiting(&self, count: usize) {
        let end = Instant::now() + LONG;
        while self.waiting().await != count {
            assert!(Instant::now() < end, "{} wait", self.waiting().await);
            sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Returns the rows of a PostgreSQL database.
pub(crate) async fn rows(url: &str) -> Vec<String> {
    let mut admin = Admin::connect(url).await;
    let rows = "SELECT text AS value FROM notes ORDER BY id";
    admin.values(rows).await.unwrap()
}
