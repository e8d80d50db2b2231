//! What is asked of a database on a connection of its own, beside the pool: its permits may be exhausted by those who
//! wait for the answer.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::backend::{Connection, Found};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, Gid};
use crate::registry::entry::Entry;

/// The pauses between attempts to reach a server.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

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
    pub(crate) async fn finish(&self, branch: &Branch, outcome: Outcome) -> Result<bool, Fault> {
        timeout(self.timeouts.step, async {
            let mut connection = self.outside().await?;
            let listed = connection.lists(branch).await.map_err(Fault::Lost)?;
            if listed {
                connection
                    .finish_listed(branch, outcome)
                    .await
                    .map_err(Fault::Lost)?;
            }
            Ok(listed)
        })
        .await
        .unwrap_or(Err(Fault::TimedOut))
    }

    /// How the unit ended, as far as this holder has recorded.
    pub(super) async fn recorded(&self, gid: &Gid) -> Result<Option<Outcome>, Fault> {
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
    pub(super) async fn branches(&self) -> Result<Vec<Found>, Fault> {
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
