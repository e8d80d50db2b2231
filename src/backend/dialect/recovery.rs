//! Recovery of the units that other processes left, and the tables of the protocol.

use std::future::Future;

use diesel::QueryResult;
use diesel_async::AsyncConnection;

use crate::backend::{Lineage, ListedBranch, RecordRow, TransactionId, sql};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// The operations of recovery: find and finish branches, read and write the records of a holder, tell servers apart.
pub trait RecoveryDialect: AsyncConnection + Sized + 'static {
    /// The finding about a listed branch that its finish needs.
    type Listed: Send;

    /// `true` if branches insert rows about themselves.
    const BRANCHES_HAVE_ROWS: bool = false;

    /// Readies a fresh connection for recovery: short waits, durable commits.
    fn recovery_settings(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Commits an empty transaction, and waits until the server confirms it like any other commit. Everything that this
    /// connection saw or did before precedes it. So a standby that the confirmation waits for has all of that as well.
    /// Call it on a connection without a transaction.
    ///
    /// May wait for as long as a standby is away; may be cancelled.
    fn barrier(&mut self, schema: &str) -> impl Future<Output = QueryResult<()>> + Send {
        let _ = schema;
        async { Ok(()) }
    }

    /// Records that an operator decides the unit in the place of its holder, which has forgotten it. Returns the
    /// outcome if the holder still has it. Call it on a fresh connection of the holder.
    fn force_on_holder(
        &mut self,
        schema: &str,
        gid: &Gid,
    ) -> impl Future<Output = Result<Option<Outcome>, Fault>> + Send {
        async move {
            let row = sql::forced_row(schema, gid);
            self.insert_fence(row).await.map_err(Fault::Lost)?;
            match self.recorded(schema, gid).await {
                Err(Fault::Forced) => Ok(None),
                Ok(Some(outcome)) => Ok(Some(outcome)),
                Ok(None) => Err(Fault::Lost(diesel::result::Error::NotFound)),
                Err(fault) => Err(fault),
            }
        }
    }

    /// Inserts a fence for a unit, unless there is a row of it: waits for a decision in flight, and excludes a late
    /// one. Call it on a fresh connection of the holder.
    fn insert_fence(&mut self, row: String) -> impl Future<Output = QueryResult<()>> + Send;

    /// Returns the property that shows that the server is a replica, if it is one: its lists may differ from those of
    /// its primary. Call it on a fresh connection of a participant, before its lists are used.
    fn replica(&mut self) -> impl Future<Output = QueryResult<Option<&'static str>>> + Send {
        async { Ok(None) }
    }

    /// Finds the branch if it is prepared and unfinished. Call it on a fresh connection of the participant.
    fn find_listed(
        &mut self,
        branch: &Branch,
    ) -> impl Future<Output = QueryResult<Option<Self::Listed>>> + Send;

    /// Finishes a prepared branch of another connection. Call it on the connection that found it.
    fn finish_listed(
        &mut self,
        branch: &Branch,
        listed: Self::Listed,
        outcome: Outcome,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Returns the branches of our namespace that the server lists as prepared, and those of others in our database.
    /// Call it on a fresh connection.
    fn branches(
        &mut self,
        namespace: &str,
    ) -> impl Future<Output = QueryResult<Vec<ListedBranch>>> + Send;

    /// Returns the outcome of the unit, if the holder has recorded one. Call it on a fresh connection of the holder.
    fn recorded(
        &mut self,
        schema: &str,
        gid: &Gid,
    ) -> impl Future<Output = Result<Option<Outcome>, Fault>> + Send;

    /// Returns the id of the database. Call it on a fresh connection.
    fn database_id(
        &mut self,
        schema: &str,
    ) -> impl Future<Output = Result<DatabaseId, Fault>> + Send;

    /// Loads records.
    fn load_records(
        &mut self,
        query: String,
    ) -> impl Future<Output = QueryResult<Vec<RecordRow>>> + Send;

    /// Runs one statement, and returns how many rows it changed.
    fn execute_durably(
        &mut self,
        statement: String,
    ) -> impl Future<Output = QueryResult<usize>> + Send;

    /// Returns the outcome that an operator has forced on a unit with a branch here. Call it on a fresh connection of
    /// the participant.
    fn forced(
        &mut self,
        schema: &str,
        unit: UnitId,
    ) -> impl Future<Output = QueryResult<Option<Outcome>>> + Send;

    /// Records that an operator forces an outcome on a unit with a branch here, unless one is recorded.
    fn record_force(
        &mut self,
        schema: &str,
        gid: &Gid,
        outcome: Outcome,
        reason: &str,
    ) -> impl Future<Output = QueryResult<()>> + Send;

    /// Deletes the rows that branches of our namespace have inserted about themselves, if they are committed and
    /// finished. Returns the number of deleted rows.
    fn delete_branch_rows(
        &mut self,
        schema: &str,
        namespace: &str,
    ) -> impl Future<Output = QueryResult<usize>> + Send {
        let _ = (schema, namespace);
        async { Ok(0) }
    }

    /// Returns the lineage of the server, which distinguishes it from its copies and promoted standbys.
    fn lineage(&mut self) -> impl Future<Output = QueryResult<Option<Lineage>>> + Send {
        async { Ok(None) }
    }

    /// Returns the fate of a transaction by its id. `None` if the server does not know it (yet), or did not assign the
    /// id. `persistent_id` identifies that server across restarts.
    fn fate(
        &mut self,
        transaction: TransactionId,
        persistent_id: Option<&str>,
    ) -> impl Future<Output = QueryResult<Option<Outcome>>> + Send {
        let _ = (transaction, persistent_id);
        async { Ok(None) }
    }

    /// Lets the database keep its id after a move or copy, or gives it another one. Call it on a fresh connection.
    fn adopt(
        &mut self,
        schema: &str,
        id: Option<DatabaseId>,
    ) -> impl Future<Output = QueryResult<()>> + Send {
        let update =
            id.map(|id| format!("UPDATE {schema}diesel_binds_meta SET holder_id = '{id}'"));
        async move {
            match update {
                Some(update) => self.execute_durably(update).await.map(drop),
                None => Ok(()),
            }
        }
    }

    /// Returns whether the tables of the protocol are there although the role may not use them. MariaDB does not show
    /// them to a role without any privilege on them.
    fn denies_tables(&mut self, schema: &str) -> impl Future<Output = QueryResult<bool>> + Send {
        let _ = schema;
        async { Ok(false) }
    }

    /// Records the place of a database beside its id, if it has the tables of the protocol. A copy has another place.
    fn record_place(&mut self) -> impl Future<Output = QueryResult<()>> + Send {
        async { Ok(()) }
    }

    /// Creates the tables of the protocol where they are missing. Call it outside of a transaction.
    fn install(&mut self) -> impl Future<Output = QueryResult<()>> + Send;
}
