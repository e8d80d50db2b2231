//! What is asked of a database on a connection of its own, beside the pool: its permits may be exhausted by those who
//! wait for the answer.

use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{Instant, sleep, timeout};

use crate::backend::records::{self, Shelf};
use crate::backend::{Connection, Found, is_of_our_tables};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};
use crate::recovery::{Database, Look, Records};
use crate::registry::entry::Entry;
use crate::trace::Place;

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
                // It is not the database that was to decide, or does not know any more: asking again does not help.
                Ok(Err(fault @ (Fault::Replaced | Fault::Foreign { .. } | Fault::Forgotten))) => {
                    return Err(fault);
                }
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
            refuse_replica(&mut connection).await?;
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

    /// Asks on a connection that is ready for recovery, within the time of a step. The text is where our tables are.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut C, &str) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let asking = async {
            let mut connection = self.outside().await?;
            let server = self.server(&mut connection).await.map_err(Fault::Lost)?;
            question(&mut connection, &server.schema).await
        };
        let asked = timeout(self.timeouts.step, asking).await;
        asked.unwrap_or(Err(Fault::TimedOut))
    }

    fn shelf<'a>(&'a self, schema: &'a str, holder: DatabaseId) -> Shelf<'a> {
        Shelf {
            schema,
            namespace: &self.namespace,
            holder,
        }
    }

    async fn fence(&self, gid: &Gid) -> Result<Outcome, Fault> {
        let mut connection = self.outside().await?;
        let server = self.server(&mut connection).await.map_err(Fault::Lost)?;
        connection.fence(&server.schema, gid).await
    }
}

/// A standby of PostgreSQL lists no branch at all, one of MariaDB lists them late. Taken for the list of the primary, it
/// would make finished of what is in doubt, and its record would be deleted.
async fn refuse_replica<C: Connection>(connection: &mut C) -> Result<(), Fault> {
    match connection.replica().await.map_err(Fault::Lost)? {
        Some(sign) => Err(Fault::Replica { sign }),
        None => Ok(()),
    }
}

/// Why a statement about our tables was refused.
fn refused(error: diesel::result::Error) -> Fault {
    if is_of_our_tables(&error) {
        Fault::NotInstalled(error)
    } else {
        Fault::Statement(error)
    }
}

impl<C: Connection> Database for Entry<C> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn place(&self) -> Option<Place<'_>> {
        self.known_place()
    }

    fn branches(&self) -> BoxFuture<'_, Result<Vec<Found>, Fault>> {
        self.ask(async |connection, _| {
            refuse_replica(connection).await?;
            let found = connection.branches(&self.namespace).await;
            found.map_err(Fault::Lost)
        })
        .boxed()
    }

    fn look(&self) -> BoxFuture<'_, Result<Look, Fault>> {
        self.ask(async |connection, schema| {
            refuse_replica(connection).await?;
            let database = connection.identity(schema).await?;
            let listed = connection.branches(&self.namespace).await;
            Ok(Look {
                database,
                listed: listed.map_err(Fault::Lost)?,
            })
        })
        .boxed()
    }

    fn recorded<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Option<Outcome>, Fault>> {
        self.ask(async |connection, schema| connection.recorded(schema, gid).await)
            .boxed()
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

    fn forced<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Option<Outcome>, Fault>> {
        self.ask(async |connection, schema| {
            let forced = connection.forced(schema, gid.unit()).await;
            forced.map_err(refused)
        })
        .boxed()
    }

    fn force<'a>(
        &'a self,
        gid: &'a Gid,
        outcome: Outcome,
        reason: &'a str,
    ) -> BoxFuture<'a, Result<Outcome, Fault>> {
        self.ask(async move |connection, schema| {
            let recording = connection.record_force(schema, gid, outcome, reason);
            recording.await.map_err(refused)?;
            let forced = connection.forced(schema, gid.unit()).await;
            let recorded = forced.map_err(refused)?;
            recorded.ok_or(Fault::Statement(diesel::result::Error::NotFound))
        })
        .boxed()
    }

    fn records(
        &self,
        before: UnitId,
        after: Option<UnitId>,
    ) -> BoxFuture<'_, Result<Records, Fault>> {
        self.ask(async move |connection, schema| {
            let holder = connection.identity(schema).await?;
            let shelf = self.shelf(schema, holder);
            let page = records::page(connection, shelf, before, after).await;
            Ok(Records {
                holder,
                page: page.map_err(Fault::Lost)?,
            })
        })
        .boxed()
    }

    fn delete<'a>(
        &'a self,
        holder: DatabaseId,
        units: &'a [UnitId],
    ) -> BoxFuture<'a, Result<usize, Fault>> {
        if units.is_empty() {
            return async { Ok(0) }.boxed();
        }
        self.ask(async move |connection, schema| {
            let deleted = records::delete(connection, self.shelf(schema, holder), units).await;
            deleted.map_err(refused)
        })
        .boxed()
    }

    fn move_horizon(&self, holder: DatabaseId, to: UnitId) -> BoxFuture<'_, Result<(), Fault>> {
        self.ask(async move |connection, schema| {
            let moved = records::move_horizon(connection, self.shelf(schema, holder), to).await;
            moved.map_err(refused)
        })
        .boxed()
    }

    fn delete_branch_rows(&self) -> BoxFuture<'_, Result<usize, Fault>> {
        self.ask(async |connection, schema| {
            let deleted = connection.delete_branch_rows(schema, &self.namespace).await;
            deleted.map_err(refused)
        })
        .boxed()
    }
}
