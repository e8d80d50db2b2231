//! Sandboxes: tests on the application's own databases, which keep nothing.
//!
//! `keeping` tests that nothing is kept, and `ending` the end of a sandbox. `production` tests the refusals of the real
//! databases, and `watching` the queries that a test can read.

pub(crate) mod ending;
pub(crate) mod keeping;
pub(crate) mod production;
pub(crate) mod watching;

use std::time::Duration;

use diesel_binds::testing::Sandbox;
use diesel_binds::{BindOptions, Binds, RecoveryOptions};
use kit::database::Database;
use kit::side::{PoolKind, Side};

/// A database with one row, and the binds of an application on it.
pub(crate) struct Outside<S: Side> {
    pub(crate) database: Database,
    pub(crate) binds: Binds,
    side: std::marker::PhantomData<S>,
}

impl<S: Side> Outside<S> {
    pub(crate) async fn new() -> Self {
        Self::on(PoolKind::Deadpool, BindOptions::new()).await
    }

    pub(crate) async fn on(pool: PoolKind, options: BindOptions) -> Self {
        Self::waiting(pool, options, Duration::from_secs(60)).await
    }

    /// Creates a database and binds whose sessions wait no longer than this for a connection.
    pub(crate) async fn waiting(pool: PoolKind, options: BindOptions, limit: Duration) -> Self {
        let database = S::database().await;
        S::admin(&database, "INSERT INTO notes (text) VALUES ('there')").await;
        let builder = Binds::builder()
            .namespace("sandbox")
            .recovery(RecoveryOptions::new().without_worker())
            .checkout_timeout(limit);
        let builder = S::register(builder, database.url(), pool, 1, options).await;
        Self {
            binds: builder.build().unwrap(),
            database,
            side: std::marker::PhantomData,
        }
    }

    pub(crate) async fn sandbox(&self) -> Sandbox {
        Sandbox::of(&self.binds)
            .bind(S::bind())
            .start()
            .await
            .unwrap()
    }

    /// Returns the committed rows of the real database.
    pub(crate) async fn kept(&self) -> Vec<String> {
        S::rows(&self.database).await
    }
}

/// Returns the rows that a new session of the sandbox sees.
pub(crate) async fn within<S: Side>(sandbox: &Sandbox) -> Vec<String> {
    let session = sandbox.binds().session();
    S::read(&session).await.unwrap()
}
