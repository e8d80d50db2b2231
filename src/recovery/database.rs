//! The port to one database, as recovery sees it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::backend::records::Record;
use crate::backend::{Found, Server, Whose};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid, UnitId};

/// One database that may hold decisions, or branches of units.
///
/// Each question goes over a connection of its own, beside the pool, and ends within a time of its own.
pub(crate) trait Database: Send + Sync {
    /// The key of its bind.
    fn key(&self) -> &'static str;
    /// What its server said of itself, if it was asked.
    fn server(&self) -> Option<Arc<Server>>;
    /// The branches of ours that are prepared and unfinished, and those of others in the same database.
    fn branches(&self) -> BoxFuture<'_, Result<Listing, Fault>>;
    /// The same, of a database that was asked who it is.
    fn look(&self) -> BoxFuture<'_, Result<Look, Fault>>;
    /// How the unit ended, as far as this holder has recorded.
    fn recorded<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Option<Outcome>, Fault>>;
    /// Keeps a late decision out and reads the outcome.
    fn resolve<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>>;
    /// Records that an operator decides in the place of this holder, which has forgotten the unit, and keeps a late
    /// decision out. Returns the outcome if the holder has it after all.
    fn give_over<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Option<Outcome>, Fault>>;
    /// Finishes a branch that another connection prepared, in the database that listed it. Returns whether it was there.
    fn finish<'a>(
        &'a self,
        branch: &'a Branch,
        outcome: Outcome,
        listed_by: &'a Whose,
    ) -> BoxFuture<'a, Result<bool, Fault>>;
    /// The outcome that an operator has forced on the unit here, in the database that listed what is prepared.
    fn forced<'a>(
        &'a self,
        gid: &'a Gid,
        listed_by: &'a Whose,
    ) -> BoxFuture<'a, Result<Option<Outcome>, Fault>>;
    /// Records there that an operator forces the unit, unless that was recorded before. Returns what is recorded then.
    fn force<'a>(
        &'a self,
        gid: &'a Gid,
        outcome: Outcome,
        reason: &'a str,
        listed_by: &'a Whose,
    ) -> BoxFuture<'a, Result<Outcome, Fault>>;
    /// Records that units of ours committed: those that began after another, in order, a page. None that began within
    /// the retention, by the clock of this database.
    fn records(
        &self,
        retention: Duration,
        after: Option<UnitId>,
    ) -> BoxFuture<'_, Result<Records, Fault>>;
    /// Deletes such records, where they lie behind a horizon that has stood for long enough. Returns how many did.
    fn delete<'a>(
        &'a self,
        holder: DatabaseId,
        units: &'a [UnitId],
    ) -> BoxFuture<'a, Result<usize, Fault>>;
    /// Moves the horizon on, unless it moved just now.
    fn move_horizon(&self, holder: DatabaseId, to: UnitId) -> BoxFuture<'_, Result<(), Fault>>;
    /// Deletes what finished branches have left in their database. Returns how many rows that were.
    fn delete_branch_rows(&self) -> BoxFuture<'_, Result<usize, Fault>>;
}

/// What a database lists as prepared.
pub(crate) struct Listing {
    /// Which database that is: what its address leads to later may be another one, and list nothing.
    pub(crate) whose: Whose,
    pub(crate) found: Vec<Found>,
}

/// What a participant shows of itself.
pub(crate) struct Look {
    pub(crate) database: DatabaseId,
    pub(crate) listed: Vec<Found>,
}

/// A page of records.
pub(crate) struct Records {
    /// Whose they are.
    pub(crate) holder: DatabaseId,
    pub(crate) page: Vec<Record>,
}

/// All that one process can recover: its databases, and the application whose units they are.
pub(crate) struct Scope {
    pub(crate) databases: Vec<Arc<dyn Database>>,
    pub(crate) namespace: Arc<str>,
    /// How long records are kept.
    pub(crate) retention: Duration,
}

impl Scope {
    /// The database with this key, which a gid names as its holder.
    pub(crate) fn by_key(&self, key: &str) -> Option<&dyn Database> {
        let mut databases = self.databases.iter();
        databases
            .find(|database| database.key() == key)
            .map(AsRef::as_ref)
    }
}
