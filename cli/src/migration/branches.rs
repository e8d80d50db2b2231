//! The prepared branches that a running `diesel` may wait for. They keep their locks until recovery finishes them, and
//! `diesel` prints nothing while it waits.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use diesel_binds::backend::Backend;
use diesel_binds::config::ManifestBind;
use futures_util::future::{Either, select};
use tokio::time::timeout;

use crate::project::Address;

/// The interval of the questions, the same as that of `binds.migrations().run()`.
const INTERVAL: Duration = Duration::from_secs(5);

/// The longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `work`, and calls `warn` with the branches that it may be waiting for, as long as there are any. Returns the
/// last ones beside the result.
pub(super) async fn watching<T>(
    bind: &ManifestBind,
    address: Option<&Address>,
    work: impl Future<Output = T>,
    warn: impl Fn(&[String]),
) -> (T, Vec<String>) {
    let mut work = pin!(work);
    let mut last = Vec::new();
    loop {
        if let Ok(done) = timeout(INTERVAL, &mut work).await {
            return (done, last);
        }
        let Some(address) = address else { continue };
        let question = pin!(blocking(bind.backend(), &address.url));
        match select(&mut work, question).await {
            Either::Left((done, _)) => return (done, last),
            Either::Right((branches, _)) => last = branches,
        }
        if !last.is_empty() {
            warn(&last);
        }
    }
}

/// Says that a migration waits, for which branches, and how they are finished.
pub(super) fn named(waits: &str, branches: &[String]) -> String {
    format!(
        "a migration {waits} for the locks of prepared branches ({}): `diesel-binds in-doubt list` shows them, and \
         `diesel-binds recover` finishes them",
        branches.join(", ")
    )
}

/// Returns the branches in the way. A database that cannot be asked has none: the migration itself reports the reason.
async fn blocking(backend: Backend, url: &str) -> Vec<String> {
    let asked = async {
        match (backend, url) {
            #[cfg(feature = "postgres")]
            (Backend::Postgres, url) => ask::<diesel_async::AsyncPgConnection>(url).await,
            #[cfg(feature = "mysql")]
            (Backend::Mysql, url) => ask::<diesel_async::AsyncMysqlConnection>(url).await,
            // SQLite prepares nothing.
            _ => Vec::new(),
        }
    };
    timeout(PATIENCE, asked).await.unwrap_or_default()
}

#[cfg(any(feature = "postgres", feature = "mysql"))]
async fn ask<C: diesel_binds::migrations::Migratable>(url: &str) -> Vec<String> {
    match C::establish(url).await {
        Ok(mut connection) => connection.blocking_branches().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}
