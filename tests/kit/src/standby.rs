//! A hot standby of a PostgreSQL server: a real replica, which lists no branch of its primary.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::copy::{Copy, LONGEST, Role};
use crate::servers::Server;

/// The name that a standby has on its primary.
pub const NAME: &str = "diesel_binds_standby";

/// A standby that follows its primary. Dropping this value stops it.
pub struct Standby {
    copy: Copy,
}

impl Standby {
    /// Copies the server, and starts the standby.
    pub async fn of(server: Server) -> Self {
        Self::following(server.url().as_str()).await
    }

    /// Copies the server of this URL, and starts the standby.
    pub async fn following(primary: &str) -> Self {
        Self {
            copy: Copy::of(primary, Role::Standby(NAME)).await,
        }
    }

    /// Returns the URL of the same database on the standby.
    pub fn url(&self, primary: &str) -> String {
        self.copy.url(primary)
    }

    /// Stops the standby as a crash does.
    pub fn stop(&mut self) {
        self.copy.stop();
    }

    /// Starts the standby again.
    pub async fn start(&mut self) {
        self.copy.start().await;
    }

    /// Promotes the standby to a primary.
    pub async fn promote(&self) {
        self.copy.promote().await;
    }

    /// Waits until the standby has replayed everything that its primary has flushed so far.
    pub async fn catches_up(&self, primary: &str) {
        let mut admin = Admin::connect(primary).await;
        let now = "SELECT pg_current_wal_flush_lsn()::text AS value";
        let now = admin.values(now).await.unwrap().remove(0);
        let replayed = format!("SELECT (pg_last_wal_replay_lsn() >= '{now}')::text AS value");
        let mut standby = Admin::connect(&self.url(primary)).await;
        let end = Instant::now() + LONGEST;
        while standby.values(&replayed).await.unwrap() != ["true"] {
            assert!(Instant::now() < end, "the standby does not follow");
            sleep(Duration::from_millis(20)).await;
        }
    }
}
