//! The question whether every database answers on its pool, for health checks.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::timeout;

use crate::backend::Connection;
use crate::error::{Error, Waiting};
use crate::registry::Registry;
use crate::registry::entry::Entry;

/// The answers to [`Binds::ping`](crate::Binds::ping), for a person to read ([`Display`](fmt::Display)) and for a program.
///
/// With the feature `serde`, it can be serialised:
/// `{"binds":[{"bind":"accounts","milliseconds":0.4,"problem":null}]}`.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct PingReport {
    /// The answers of the databases: one for each pool, under the bind that owns it.
    pub binds: Vec<BindPing>,
}

/// The answer of one database.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BindPing {
    /// The key of the bind.
    pub bind: &'static str,
    /// The time until the answer or the problem, with the wait for a connection.
    pub milliseconds: f64,
    /// The reason why it did not answer in time, with its causes. No secrets are in it.
    pub problem: Option<String>,
}

impl PingReport {
    /// Returns whether every database answered in time.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.binds.iter().all(|bind| bind.problem.is_none())
    }
}

impl fmt::Display for PingReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for BindPing {
            bind,
            milliseconds,
            problem,
        } in &self.binds
        {
            let problem = problem.as_deref().unwrap_or("ok");
            writeln!(f, "{bind}: {problem} ({milliseconds:.1} ms)")?;
        }
        Ok(())
    }
}

/// Asks all databases at once.
pub(super) async fn ping(registry: &Arc<Registry>, limit: Duration) -> PingReport {
    let pings = registry.entries.iter().map(|entry| {
        let entry = Arc::clone(entry);
        let bind = entry.key();
        // In a task of its own: a statement that is dropped would leave its reply on the connection.
        let task = registry.background.spawn(async move {
            let begin = Instant::now();
            let answer = entry.ping(limit).await;
            (begin.elapsed(), answer)
        });
        async move {
            let (elapsed, problem) = match task.await {
                Ok((elapsed, answer)) => (elapsed, answer.err().map(|error| chain(&error))),
                Err(_) => (Duration::ZERO, Some("the runtime shuts down".to_owned())),
            };
            BindPing {
                bind,
                milliseconds: elapsed.as_secs_f64() * 1000.0,
                problem,
            }
        }
    });
    PingReport {
        binds: join_all(pings).await,
    }
}

impl<C: Connection> Entry<C> {
    /// Runs a query on a connection of the pool, within `limit`. Closes the connection if it does not answer.
    pub(super) async fn ping_on_pool(&self, limit: Duration) -> Result<(), Error> {
        let bind = self.key;
        let begin = Instant::now();
        let checkout = self.checkout(limit).await;
        let mut pooled = checkout.map_err(|source| self.not_checked_out(source))?;
        let connection = pooled.connection();
        let left = limit.saturating_sub(begin.elapsed());
        let answer = match timeout(left, connection.batch_execute("SELECT 1")).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(source)) => Error::Query { bind, source },
            Err(_) => Error::DeadlineExceeded {
                bind,
                waiting_for: Waiting::Statement,
            },
        };
        // In a task of its own: on SQLite, it may wait for the statement.
        tokio::spawn(async move {
            pooled.connection().retire().await;
            pooled.close();
        });
        Err(answer)
    }
}

/// Returns an error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
