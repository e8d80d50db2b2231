//! Requests to a database on a connection beside the pool, whose permits may all be held by callers that wait for the
//! answer.

mod database;

use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, timeout};

use crate::backend::{
    Connection, DatabaseIdentity, Lineage, Server, TransactionId, fence_row, is_of_our_tables,
};
use crate::commit::{Fault, Outcome};
use crate::gid::{DatabaseId, Gid};
use crate::registry::entry::Entry;
use crate::registry::used::Comparison;

/// The pauses between attempts to reach a server.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The time limit for a server to confirm that the data it shows is durable.
const CONFIRMING: Duration = Duration::from_secs(3);

/// The purpose of a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Read,
    /// The outcome of a unit is made final on this server.
    Resolve,
}

impl<C: Connection> Entry<C> {
    /// Opens a connection that is ready for recovery.
    async fn connect_for_recovery(&self) -> Result<C, Fault> {
        let mut connection = self.connect(self.timeouts.step).await?;
        connection.recovery_settings().await.map_err(Fault::Lost)?;
        Ok(connection)
    }

    /// Reads the outcome, and writes a fence if there is none. Repeats this until it succeeds or the time is up.
    ///
    /// `server` is the server that the decision was sent to, if it is known. A copy of that server has the same id, and
    /// would report that nothing was decided. If it is not known, the server is compared with those that this process
    /// has used.
    pub(crate) async fn resolve_on(
        &self,
        gid: &Gid,
        server: Option<&Lineage>,
    ) -> Result<Outcome, Fault> {
        let end = Instant::now() + self.timeouts.resolve;
        let mut pause = FIRST_PAUSE;
        let mut earlier = None;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let fault = match timeout(left, self.try_resolve(gid, server)).await {
                Ok(Ok(outcome)) => return Ok(outcome),
                // The database is not the holder's, or has lost the record: a retry does not help.
                Ok(Err(
                    fault @ (Fault::Replaced
                    | Fault::OtherServer { .. }
                    | Fault::OtherVersion { .. }
                    | Fault::Forgotten
                    | Fault::Forced
                    | Fault::UnfitTable { .. }
                    | Fault::Copied),
                )) => return Err(fault),
                Ok(Err(fault)) => fault,
                // The error of an earlier attempt is more specific.
                Err(_) => return Err(earlier.unwrap_or(Fault::TimedOut)),
            };
            if Instant::now() + pause >= end {
                return Err(fault);
            }
            earlier = Some(fault);
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Returns the fate of a transaction whose commit had no reply. `server` was read before the commit. `None` if the
    /// server cannot be asked, does not know it, or is another one.
    pub(crate) async fn fate(
        &self,
        transaction: TransactionId,
        server: &Server,
    ) -> Option<Outcome> {
        let lineage = server.lineage.as_ref();
        let lineage = lineage.filter(|lineage| lineage.started == Some(transaction.started));
        let persistent_id = lineage.and_then(|lineage| lineage.persistent_id.as_deref());
        let end = Instant::now() + self.timeouts.resolve;
        let mut pause = FIRST_PAUSE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let asked = timeout(left, async {
                let mut connection = self.connect(left).await.ok()?;
                let fate = connection
                    .fate(transaction, persistent_id)
                    .await
                    .ok()
                    .flatten();
                if fate == Some(Outcome::Committed) {
                    self.confirm(&mut connection, server).await.ok()?;
                }
                fate
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

    /// Runs a request on a connection that is ready for recovery, within the time limit of a step. Refuses a copy of the
    /// database.
    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut C, &Server) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.ask_any(async |connection, server| {
            let reading = Purpose::Read;
            self.ask_trusted(connection, server, reading, question)
                .await
        })
        .await
    }

    /// Runs a request on a connection that is ready for recovery, within the time limit of a step, whichever server
    /// answers.
    async fn ask_any<T>(
        &self,
        question: impl AsyncFnOnce(&mut C, &Server) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let asking = async {
            let mut connection = self.connect_for_recovery().await?;
            let server = self
                .server_outside_pool(&mut connection)
                .await
                .map_err(Fault::Lost)?;
            match question(&mut connection, &server).await {
                // Recovery ignores a database without the tables. One that refuses them to the role is an error.
                Err(Fault::NotInstalled(refusal @ diesel::result::Error::DatabaseError(..)))
                    if !matches!(connection.denies_tables(&server.schema).await, Ok(false)) =>
                {
                    Err(Fault::Statement(refusal))
                }
                answer => answer,
            }
        };
        let asked = timeout(self.timeouts.step, asking).await;
        asked.unwrap_or(Err(Fault::TimedOut))
    }

    /// Runs a request on a connection, if its server is one that this process has used, or was promoted from it. A copy
    /// has the id of the database and may lack its decisions: a fence there would roll back a unit that was committed.
    async fn ask_trusted<T>(
        &self,
        connection: &mut C,
        server: &Server,
        purpose: Purpose,
        question: impl AsyncFnOnce(&mut C, &Server) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let Some(found) = connection.lineage().await.map_err(Fault::Lost)? else {
            return question(connection, server).await;
        };
        let comparison = self.used.lock().compare(&found);
        refuse_copy(connection, &server.schema, &comparison).await?;
        let answer = question(connection, server).await?;
        // A proxy may have sent the request to another server.
        let answering = connection.lineage().await.map_err(Fault::Lost)?;
        if !answering.is_some_and(|answering| answering.is_same(&found)) {
            return Err(Fault::Replaced);
        }
        // A list of a promoted standby proves nothing against its primary. An outcome that it gave does.
        let relies = purpose == Purpose::Resolve && comparison.copies.is_empty();
        if (comparison.is_first || (relies && !comparison.is_known))
            && let Ok(database) = connection.database_id(&server.schema).await
        {
            self.used.lock().trust(database, &found);
        }
        Ok(answer)
    }

    /// Runs a request on the expected database, and fails if its address now leads to another one.
    async fn ask_only<T>(
        &self,
        expected: &DatabaseIdentity,
        question: impl AsyncFnOnce(&mut C, &str) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.ask_any(async |connection, server| {
            let schema = &server.schema;
            refuse_other(connection, schema, expected).await?;
            let answer = question(connection, schema).await?;
            // A proxy may have sent the request to another database.
            refuse_other(connection, schema, expected).await?;
            Ok(answer)
        })
        .await
    }

    /// Lets the database keep its id after a move or copy, or gives it another one. Gives no other one on another server
    /// than this process has used: the original of a copy must not lose its id.
    pub(super) async fn adopt_id(&self, id: Option<DatabaseId>) -> Result<(), Fault> {
        let adopted = self.ask_any(async |connection, server| {
            let used = server.lineage.as_ref().filter(|_| id.is_some());
            self.refuse_other_server(connection, used).await?;
            connection.adopt(&server.schema, id).await.map_err(refused)
        });
        adopted.await?;
        self.used.lock().clear();
        self.leave_server();
        Ok(())
    }

    /// Makes one attempt of [`resolve_on`](Self::resolve_on).
    async fn try_resolve(&self, gid: &Gid, server: Option<&Lineage>) -> Result<Outcome, Fault> {
        let mut connection = self.connect_for_recovery().await?;
        let known = self
            .server_outside_pool(&mut connection)
            .await
            .map_err(Fault::Lost)?;
        let question = async |connection: &mut C, known: &Server| {
            self.read_or_fence(connection, known, gid).await
        };
        if server.is_none() {
            return self
                .ask_trusted(&mut connection, &known, Purpose::Resolve, question)
                .await;
        }
        self.refuse_other_server(&mut connection, server).await?;
        let outcome = question(&mut connection, &known).await?;
        // A proxy may have sent a request to another server.
        self.refuse_other_server(&mut connection, server).await?;
        Ok(outcome)
    }

    /// Refuses another server than `expected`: its records prove nothing, even with the same id.
    async fn refuse_other_server(
        &self,
        connection: &mut C,
        expected: Option<&Lineage>,
    ) -> Result<(), Fault> {
        let Some(expected) = expected else {
            return Ok(());
        };
        let found = connection.lineage().await.map_err(Fault::Lost)?;
        if found.is_some_and(|found| found.is_same(expected)) {
            return Ok(());
        }
        self.leave_server();
        Err(Fault::Replaced)
    }

    /// Reads the outcome, and writes a fence if there is none.
    async fn read_or_fence(
        &self,
        connection: &mut C,
        server: &Server,
        gid: &Gid,
    ) -> Result<Outcome, Fault> {
        let schema = &server.schema;
        // A recorded outcome is final. It is read first, so that a holder that is not writable just now still answers.
        if let Some(outcome) = connection.recorded(schema, gid).await? {
            self.confirm(connection, server).await?;
            return Ok(outcome);
        }
        // While a standby is away, a fence would wait in the server, and so would the fence of each later request.
        self.confirm(connection, server).await?;
        let fenced = connection.insert_fence(fence_row(schema, gid)).await;
        fenced.map_err(Fault::Lost)?;
        let outcome = connection.recorded(schema, gid).await?;
        let outcome = outcome.ok_or(Fault::Lost(diesel::result::Error::NotFound))?;
        self.confirm(connection, server).await?;
        Ok(outcome)
    }

    /// Makes sure that the data the connection saw is as durable as the server's confirmed commits. Visible data may
    /// still be lost. Examples are a commit that was cancelled while it waited for a standby, or that was written
    /// before a restart of the server.
    async fn confirm(&self, connection: &mut C, server: &Server) -> Result<(), Fault> {
        // Without a cancel, the statement would wait in the server for as long as the standby is away, even without a
        // client.
        let mut abandoned = Abandoned(match self.may_cancel(server) {
            true => connection.cancel(self.tls.as_ref()),
            false => None,
        });
        let limit = CONFIRMING.min(self.timeouts.step / 2);
        let confirmed = timeout(limit, connection.barrier(&server.schema)).await;
        let Ok(confirmed) = confirmed else {
            return Err(Fault::Unconfirmed);
        };
        abandoned.0 = None;
        confirmed.map_err(Fault::Lost)
    }
}

/// The cancellation of a statement, sent when this is dropped.
struct Abandoned(Option<BoxFuture<'static, ()>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(cancelling) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(cancelling);
        }
    }
}

/// Refuses a copy of a server that this process has used, and a promoted standby that lacks a decision which that server
/// had confirmed. Another database, with an id of its own, is no copy: each question compares the id.
async fn refuse_copy<C: Connection>(
    connection: &mut C,
    schema: &str,
    comparison: &Comparison,
) -> Result<(), Fault> {
    let Comparison {
        required, copies, ..
    } = comparison;
    if !copies.is_empty() {
        let found = database_identity(connection, schema).await?.database;
        let mut copies = copies.iter();
        if let Some((_, sign)) = copies.find(|(id, _)| Some(*id) == found) {
            return Err(Fault::OtherServer { sign });
        }
    }
    for gid in required {
        match connection.recorded(schema, gid).await {
            Ok(Some(Outcome::Committed)) => {}
            Ok(None | Some(Outcome::RolledBack)) => {
                let sign = "it lacks a commit that the other one had confirmed";
                return Err(Fault::OtherServer { sign });
            }
            Err(fault @ (Fault::Lost(_) | Fault::Refused(_))) => return Err(fault),
            // The record was deleted, or this is another database.
            Err(_) => {}
        }
    }
    Ok(())
}

/// Refuses a replica. A standby of PostgreSQL lists no branch at all, and one of MariaDB lists them late. If its list
/// were used in the place of the primary's, units in doubt would count as finished, and their records would be deleted.
async fn refuse_replica<C: Connection>(connection: &mut C) -> Result<(), Fault> {
    match connection.replica().await.map_err(Fault::Lost)? {
        Some(sign) => Err(Fault::Replica { sign }),
        None => Ok(()),
    }
}

/// Returns the identity of the database that the connection leads to.
async fn database_identity<C: Connection>(
    connection: &mut C,
    schema: &str,
) -> Result<DatabaseIdentity, Fault> {
    let database = match connection.database_id(schema).await {
        Ok(id) => Some(id),
        // The database has no id that could be read, and that does not change.
        Err(
            Fault::NotInstalled(_)
            | Fault::UnfitTable { .. }
            | Fault::Denied { .. }
            | Fault::OtherVersion { .. },
        ) => None,
        Err(fault) => return Err(fault),
    };
    let lineage = connection.lineage().await.map_err(Fault::Lost)?;
    Ok(DatabaseIdentity { database, lineage })
}

/// Refuses another database. Its lists and records would show units in doubt as finished.
async fn refuse_other<C: Connection>(
    connection: &mut C,
    schema: &str,
    expected: &DatabaseIdentity,
) -> Result<(), Fault> {
    match database_identity(connection, schema)
        .await?
        .is_same(expected)
    {
        true => Ok(()),
        false => Err(Fault::Replaced),
    }
}

/// Converts the error of a statement on the tables of the protocol.
fn refused(error: diesel::result::Error) -> Fault {
    if is_of_our_tables(&error) {
        Fault::NotInstalled(error)
    } else {
        Fault::Statement(error)
    }
}
