//! The port from recovery to one database.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::backend::Record;
use crate::backend::{DatabaseIdentity, ListedBranch, Server};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// One database that may hold decisions, or branches of units.
///
/// Each question uses a connection of its own, outside of the pool, and has a time limit of its own.
pub(crate) trait Database: Send + Sync {
    /// Returns the key of the database's bind.
    fn key(&self) -> &'static str;
    /// Returns the properties of the server, if it was asked for them.
    fn server(&self) -> Option<Arc<Server>>;
    /// Lists the unfinished branches in the database, those of this application and of others.
    fn branches(&self) -> BoxFuture<'_, Result<Listing, Fault>>;
    /// Lists the unfinished branches together with the id of the database.
    fn identify_and_list(&self) -> BoxFuture<'_, Result<IdentifiedListing, Fault>>;
    /// Reads the outcome that this holder has recorded for the unit.
    fn recorded<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Option<Outcome>, Fault>>;
    /// Reads the outcome, and writes a fence if there is none.
    fn resolve<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>>;
    /// Records that an operator decides in the place of this holder, which has forgotten the unit, and writes a fence.
    /// Returns the outcome if the holder has one after all.
    fn force_on_holder<'a>(&'a self, gid: &'a Gid)
    -> BoxFuture<'a, Result<Option<Outcome>, Fault>>;
    /// Finishes a branch that another connection prepared, in the database that listed it. Returns whether it was
    /// listed.
    fn finish<'a>(
        &'a self,
        branch: &'a Branch,
        outcome: Outcome,
        listed_by: &'a DatabaseIdentity,
    ) -> BoxFuture<'a, Result<bool, Fault>>;
    /// Reads the outcome that an operator has forced on the unit, in the database that listed its branches.
    fn forced<'a>(
        &'a self,
        gid: &'a Gid,
        listed_by: &'a DatabaseIdentity,
    ) -> BoxFuture<'a, Result<Option<Outcome>, Fault>>;
    /// Records there that an operator forces the unit, unless that is recorded already. Returns the recorded outcome.
    fn force<'a>(
        &'a self,
        gid: &'a Gid,
        outcome: Outcome,
        reason: &'a str,
        listed_by: &'a DatabaseIdentity,
    ) -> BoxFuture<'a, Result<Outcome, Fault>>;
    /// Reads a page of records of committed units, in order, of those that began after the unit `after`. Units that
    /// began within the retention, by the clock of this database, are not returned.
    fn records(
        &self,
        retention: Duration,
        after: Option<UnitId>,
    ) -> BoxFuture<'_, Result<Records, Fault>>;
    /// Deletes the records of these units that lie behind a horizon of sufficient age. Returns the number of deleted
    /// rows.
    fn delete<'a>(
        &'a self,
        holder: DatabaseId,
        units: &'a [UnitId],
    ) -> BoxFuture<'a, Result<usize, Fault>>;
    /// Moves the horizon forward, unless it has just moved.
    fn move_horizon(&self, holder: DatabaseId, to: UnitId) -> BoxFuture<'_, Result<(), Fault>>;
    /// Deletes the rows that finished branches have left in the database. Returns the number of deleted rows.
    fn delete_branch_rows(&self) -> BoxFuture<'_, Result<usize, Fault>>;
}

/// The branches that a database lists as prepared.
pub(crate) struct Listing {
    /// The database that listed them. Its address may later lead to another one, which lists nothing.
    pub(crate) identity: DatabaseIdentity,
    pub(crate) branches: Vec<ListedBranch>,
}

/// The id of a participant's database, and the branches that it lists.
pub(crate) struct IdentifiedListing {
    pub(crate) database: DatabaseId,
    pub(crate) branches: Vec<ListedBranch>,
}

/// A page of records.
pub(crate) struct Records {
    /// The id of the database that has the records.
    pub(crate) holder: DatabaseId,
    pub(crate) page: Vec<Record>,
}

/// The databases that one process can recover, and the application that owns the units.
pub(crate) struct RecoveryScope {
    pub(crate) databases: Vec<Arc<dyn Database>>,
    pub(crate) namespace: Arc<str>,
    /// The time for which records are kept.
    pub(crate) retention: Duration,
}

impl RecoveryScope {
    /// Returns the database with this key, which a gid names as its holder.
    pub(crate) fn by_key(&self, key: &str) -> Option<&dyn Database> {
        let mut databases = self.databases.iter();
        databases
            .find(|database| database.key() == key)
            .map(AsRef::as_ref)
    }
}
