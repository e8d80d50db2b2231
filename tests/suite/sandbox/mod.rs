//! Sandboxes: what a test does on the application's own databases, of which nothing is ever kept.
//!
//! `keeping` is about that; `ending` about what comes after; `production` about refusing what the real databases would refuse; `watching` about what a test
//! can look at.

pub mod ending;
pub mod keeping;
pub mod production;
pub mod watching;

use std::time::Duration;

use diesel_binds::testing::Sandbox;
use diesel_binds::{BindOptions, Binds, RecoveryOptions};

use crate::suite::side::{PoolKind, Side};
use crate::support::database::Database;

/// A database with one row, and the binds of an application on it.
pub struct Place<S: Side> {
    pub database: Database,
    pub binds: Binds,
    side: std::marker::PhantomData<S>,
}

impl<S: Side> Place<S> {
    pub async fn new() -> Self {
        Self::on(PoolKind::Deadpool, BindOptions::new()).await
    }

    pub async fn on(pool: PoolKind, options: BindOptions) -> Self {
        Self::waiting(pool, options, Duration::from_secs(60)).await
    }

    /// The same, where a session waits no longer than this for a connection.
    pub async fn waiting(pool: PoolKind, options: BindOptions, limit: Duration) -> Self {
        let database = S::database().await;
        S::admin(&database, "INSERT INTO notes (text) VALUES ('there')").await;
        let builder = Binds::builder()
            .namespace("sandbox")
            .recovery(RecoveryOptions::new().elsewhere())
            .checkout_timeout(limit);
        let builder = S::register(builder, database.url(), pool, 1, options).await;
        Self {
            binds: builder.build().unwrap(),
            database,
            side: std::marker::PhantomData,
        }
    }

    pub async fn sandbox(&self) -> Sandbox {
        Sandbox::of(&self.binds)
            .bind(S::bind())
            .start()
            .await
            .unwrap()
    }

    /// What others see.
    pub async fn kept(&self) -> Vec<String> {
        S::rows(&self.database).await
    }
}

/// What is there, as a new session of the sandbox sees it.
pub async fn within<S: Side>(sandbox: &Sandbox) -> Vec<String> {
    let session = sandbox.binds().session();
    S::read(&session).await.unwrap()
}
