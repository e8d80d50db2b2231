//! What is asked of a database on a connection of its own, beside the pool: its permits may be exhausted by those who
//! wait for the answer.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use crate::backend::{Connection, Found};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, Gid};
use crate::recovery::Database;
use crate::registry::entry::Entry;

/// The pauses between attempts to reach a server.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How often a branch is tried that its server refuses to finish.
const ATTEMPTS: usize = 5;

impl<C: Connection> Entry<C> {
    /// A connection that is ready for recovery.
    async fn outside(&self) -> Result<C, Fault> {
        let mut connection = self.connect(self.timeouts.step).await?;
        connection.recovery_settings().await.map_err(Fault::Lost)?;
        Ok(connection)
    }

    /// Keeps a late decision out and reads the outcome, again and again until that works or the time is up.
    pub(crate) async fn resolve(&self, gid: &Gid) -> Result<Outcome, Fault> {
        let end = Instant::now() + self.timeouts.resolve;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let fault = match timeout(left, self.fence(gid)).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                // It is not the database that was to decide: asking again does not help.
                Ok(Err(fault @ (Fault::Replaced | Fault::Foreign { .. }))) => return Err(fault),
                Ok(Err(fault)) => fault,
                Err(_) => Fault::TimedOut,
            };
            if Instant::now() + pause >= end {
                return Err(fault);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// What the server says of a transaction whose commit had no reply. `None` if it cannot be asked, or cannot tell.
    pub(crate) async fn fate(&self, transaction: i64) -> Option<Outcome> {
        let end = Instant::now() + self.timeouts.resolve;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let asked = timeout(left, async {
                let mut connection = self.connect(left).await.ok()?;
                connection.fate(transaction).await.ok().flatten()
            })
            .await;
            if let Ok(Some(outcome)) = asked {
                return Some(outcome);
            }
            if Instant::now() + pause >= end {
                return None;
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Finishes a branch that another connection prepared. Returns whether it was there.
    ///
    /// The server refuses while somebody else finishes it, who may fail: then it is tried again.
    pub(crate) async fn finish(&self, branch: &Branch, outcome: Outcome) -> Result<bool, Fault> {
        timeout(self.timeouts.step, async {
            let mut connection = self.outside().await?;
            let mut refused = None;
            for _ in 0..ATTEMPTS {
                if !connection.lists(branch).await.map_err(Fault::Lost)? {
                    return Ok(refused.is_some());
                }
                match connection.finish_listed(branch, outcome).await {
                    Ok(()) => return Ok(true),
                    Err(error) => refused = Some(error),
                }
                sleep(FIRST_PAUSE).await;
            }
            match refused {
                Some(error) => Err(Fault::Lost(error)),
                None => Ok(false),
            }
        })
        .await
        .unwrap_or(Err(Fault::TimedOut))
    }

    /// How the unit ended, as far as this holder has recorded.
    async fn recorded(&self, gid: &Gid) -> Result<Option<Outcome>, Fault> {
        timeout(self.timeouts.step, async {
            let mut connection = self.outside().await?;
            let server = self.server(&mut connection).await.map_err(Fault::Lost)?;
            connection.recorded(&server.schema, gid).await
        })
        .await
        .unwrap_or(Err(Fault::TimedOut))
    }

    async fn fence(&self, gid: &Gid) -> Result<Outcome, Fault> {
        let mut connection = self.outside().await?;
        let server = self.server(&mut connection).await.map_err(Fault::Lost)?;
        connection.fence(&server.schema, gid).await
    }

    /// The branches of our namespace that are prepared and unfinished.
    async fn branches(&self) -> Result<Vec<Found>, Fault> {
        timeout(self.timeouts.step, async {
            let mut connection = self.outside().await?;
            connection
                .branches(&self.namespace)
                .await
                .map_err(Fault::Lost)
        })
        .await
        .unwrap_or(Err(Fault::TimedOut))
    }
}

impl<C: Connection> Database for Entry<C> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn branches(&self) -> BoxFuture<'_, Result<Vec<Found>, Fault>> {
        self.branches().boxed()
    }

    fn recorded<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Option<Outcome>, Fault>> {
        self.recorded(gid).boxed()
    }

    fn resolve<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>> {
        self.resolve(gid).boxed()
    }

    fn finish<'a>(
        &'a self,
        branch: &'a Branch,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<bool, Fault>> {
        self.finish(branch, outcome).boxed()
    }
}
