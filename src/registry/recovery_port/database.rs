//! The entry of a bind as a database of recovery.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::sleep;

use crate::backend::records::{self, RecordTable};
use crate::backend::{Connection, DatabaseIdentity, ListedBranch, Server};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};
use crate::recovery::{Database, IdentifiedListing, Listing, Records};
use crate::registry::entry::Entry;
use crate::registry::recovery_port::{
    FIRST_PAUSE, database_identity, refuse_other, refuse_replica, refused,
};

/// The number of attempts on a branch that its server refuses to finish.
const ATTEMPTS: usize = 5;

impl<C: Connection> Database for Entry<C> {
    fn key(&self) -> &'static str {
        self.key
    }

    fn server(&self) -> Option<Arc<Server>> {
        self.known_server_anywhere()
    }

    fn branches(&self) -> BoxFuture<'_, Result<Listing, Fault>> {
        self.ask(async |connection, server| {
            refuse_replica(connection).await?;
            let identity = database_identity(connection, &server.schema).await?;
            let branches = self.list(connection).await?;
            Ok(Listing { identity, branches })
        })
        .boxed()
    }

    fn identify_and_list(&self) -> BoxFuture<'_, Result<IdentifiedListing, Fault>> {
        self.ask(async |connection, server| {
            let schema = &server.schema;
            refuse_replica(connection).await?;
            let database = connection.database_id(schema).await?;
            let asked = DatabaseIdentity {
                database: Some(database),
                lineage: connection.lineage().await.map_err(Fault::Lost)?,
            };
            let branches = self.list(connection).await?;
            // Only then is a branch that is no longer listed finished for good.
            self.confirm(connection, server).await?;
            // The list of another database would show units in doubt as finished.
            refuse_other(connection, schema, &asked).await?;
            Ok(IdentifiedListing { database, branches })
        })
        .boxed()
    }

    fn recorded<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Option<Outcome>, Fault>> {
        self.ask(async |connection, server| {
            let recorded = connection.recorded(&server.schema, gid).await?;
            if recorded.is_some() {
                self.confirm(connection, server).await?;
            }
            Ok(recorded)
        })
        .boxed()
    }

    fn resolve<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>> {
        self.resolve_on(gid, None).boxed()
    }

    fn finish<'a>(
        &'a self,
        branch: &'a Branch,
        outcome: Outcome,
        listed_by: &'a DatabaseIdentity,
    ) -> BoxFuture<'a, Result<bool, Fault>> {
        async move {
            let finishing = self.ask_only(listed_by, async |connection, _| {
                refuse_replica(connection).await?;
                // The server refuses while another process finishes the branch. That attempt may fail, so this one is
                // repeated.
                let mut refused = None;
                for _ in 0..ATTEMPTS {
                    let found = connection.find_listed(branch).await;
                    let Some(listed) = found.map_err(Fault::Lost)? else {
                        return Ok(refused.is_some());
                    };
                    match connection.finish_listed(branch, listed, outcome).await {
                        Ok(()) => return Ok(true),
                        Err(error) => refused = Some(error),
                    }
                    sleep(FIRST_PAUSE).await;
                }
                Err(refused.map_or(Fault::TimedOut, Fault::Lost))
            });
            let finished = finishing.await;
            if matches!(finished, Err(Fault::Replaced)) {
                self.leave_server();
            }
            finished
        }
        .boxed()
    }

    fn force_on_holder<'a>(
        &'a self,
        gid: &'a Gid,
    ) -> BoxFuture<'a, Result<Option<Outcome>, Fault>> {
        self.ask(async |connection, server| {
            let forced = connection.force_on_holder(&server.schema, gid).await?;
            self.confirm(connection, server).await?;
            Ok(forced)
        })
        .boxed()
    }

    fn forced<'a>(
        &'a self,
        gid: &'a Gid,
        listed_by: &'a DatabaseIdentity,
    ) -> BoxFuture<'a, Result<Option<Outcome>, Fault>> {
        self.ask_only(listed_by, async |connection, schema| {
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
        listed_by: &'a DatabaseIdentity,
    ) -> BoxFuture<'a, Result<Outcome, Fault>> {
        self.ask_only(listed_by, async move |connection, schema| {
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
        retention: Duration,
        after: Option<UnitId>,
    ) -> BoxFuture<'_, Result<Records, Fault>> {
        self.ask(async move |connection, server| {
            let schema = &server.schema;
            let holder = connection.database_id(schema).await?;
            let table = self.table(schema, holder);
            // By the server's clock: that of this host may differ far from those that stamp units.
            let now = records::now(connection).await.map_err(Fault::Lost)?;
            let before = now
                .checked_sub(retention)
                .and_then(UnitId::before_all_since);
            let page = match before {
                Some(before) => records::page(connection, table, before, after).await,
                None => Ok(Vec::new()),
            };
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
        self.ask(async move |connection, server| {
            let schema = &server.schema;
            let deleted = records::delete(connection, self.table(schema, holder), units).await;
            // The records were read just now, so the table is there.
            deleted.map_err(Fault::Statement)
        })
        .boxed()
    }

    fn move_horizon(&self, holder: DatabaseId, to: UnitId) -> BoxFuture<'_, Result<(), Fault>> {
        self.ask(async move |connection, server| {
            let schema = &server.schema;
            let moved = records::move_horizon(connection, self.table(schema, holder), to).await;
            moved.map_err(Fault::Statement)
        })
        .boxed()
    }

    fn delete_branch_rows(&self) -> BoxFuture<'_, Result<usize, Fault>> {
        if !C::BRANCHES_HAVE_ROWS {
            return async { Ok(0) }.boxed();
        }
        self.ask(async |connection, server| {
            let schema = &server.schema;
            // If the tables are missing, this returns the right error.
            connection.database_id(schema).await?;
            let deleted = connection.delete_branch_rows(schema, &self.namespace).await;
            deleted.map_err(Fault::Statement)
        })
        .boxed()
    }
}

impl<C: Connection> Entry<C> {
    /// Lists the branches. A role may have no right to that.
    async fn list(&self, connection: &mut C) -> Result<Vec<ListedBranch>, Fault> {
        match connection.branches(&self.namespace).await {
            Ok(branches) => Ok(branches),
            Err(refused) if connection.lineage().await.is_ok() => Err(Fault::Statement(refused)),
            Err(lost) => Err(Fault::Lost(lost)),
        }
    }

    fn table<'a>(&'a self, schema: &'a str, holder: DatabaseId) -> RecordTable<'a> {
        RecordTable {
            schema,
            namespace: &self.namespace,
            holder,
        }
    }
}
