//! The port to one database, as recovery sees it.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::backend::Found;
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, Gid};

/// One database that may hold decisions, or branches of units.
///
/// Each question goes over a connection of its own, beside the pool, and ends within a time of its own.
pub(crate) trait Database: Send + Sync {
    /// The key of its bind.
    fn key(&self) -> &'static str;
    /// The branches of our namespace that are prepared and unfinished.
    fn branches(&self) -> BoxFuture<'_, Result<Vec<Found>, Fault>>;
    /// How the unit ended, as far as this holder has recorded.
    fn recorded<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Option<Outcome>, Fault>>;
    /// Keeps a late decision out and reads the outcome.
    fn resolve<'a>(&'a self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>>;
    /// Finishes a branch that another connection prepared. Returns whether it was there.
    fn finish<'a>(
        &'a self,
        branch: &'a Branch,
        outcome: Outcome,
    ) -> BoxFuture<'a, Result<bool, Fault>>;
}

/// All that one process can recover: its databases, and the application whose units they are.
pub(crate) struct Scope {
    pub(crate) databases: Vec<Arc<dyn Database>>,
    pub(crate) namespace: Arc<str>,
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
