//! The port to one bind that took part in a unit.

use std::sync::Arc;

use futures_util::future::BoxFuture;

use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, DatabaseId, Gid};

/// The record that commits a unit.
#[derive(Clone, Debug)]
pub struct Decision {
    /// The unit and its holder.
    pub gid: Gid,
    /// The other participants, with the ids of their databases.
    pub participants: Vec<(&'static str, DatabaseId)>,
}

/// What a server says of a transaction before its fate is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// It wrote.
    pub wrote: bool,
    /// Its commit may fail although it only read.
    pub serializable: bool,
}

/// What a database says of itself before it takes part in a unit of several writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified {
    /// Its id.
    pub database: DatabaseId,
    /// Records of units as old as this one may have been deleted there: it cannot hold the decision.
    pub has_forgotten: bool,
}

/// What is known of a participant before the commit begins.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) key: &'static str,
    pub(crate) writer: bool,
    /// Its server lets it write nothing.
    pub(crate) read_only: bool,
    pub(crate) askable: bool,
    pub(crate) database: Option<DatabaseId>,
    /// What tells its database from others of its kind, whatever id it has. Empty where nothing does.
    pub(crate) place: Arc<str>,
    pub(crate) cannot_prepare: Option<String>,
    pub(crate) holder_rank: i8,
    pub(crate) records: bool,
    /// It is a savepoint in a transaction of somebody else.
    pub(crate) joined: bool,
}

/// Whether two places are for certain two databases.
pub(crate) fn are_apart(one: &str, other: &str) -> bool {
    !one.is_empty() && !other.is_empty() && one != other
}

/// What a roll-back leaves on one bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a unit is rolled back only where every bind confirms it"]
pub(crate) enum Undone {
    /// Nothing of the unit is kept: the roll-back was confirmed in the transaction of the unit, or nothing but typed
    /// queries ran in it, which cannot end it.
    NothingKept,
    /// The transaction of the unit was gone. Whatever ended it keeps or undoes the work before it.
    Ended,
    /// A statement in text, a hook or the raw connection may have ended the transaction, and nothing tells.
    Unconfirmed,
}

impl Undone {
    /// Why the roll-back is not certain, if so.
    pub(crate) fn fault(self) -> Option<Fault> {
        match self {
            Self::NothingKept => None,
            Self::Ended => Some(Fault::Ended(diesel::result::Error::NotInTransaction)),
            Self::Unconfirmed => Some(Fault::Uncertain),
        }
    }
}

/// How a lone commit failed.
#[derive(Debug)]
pub(crate) enum Aloneness {
    /// The server keeps nothing of the transaction that the message met: [`Participant::undone`] tells whether
    /// that was the one of the unit.
    Refused(Fault),
    /// Nobody knows.
    Lost(Fault),
}

impl Aloneness {
    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Self::Refused(fault) | Self::Lost(fault) => fault,
        }
    }
}

/// One bind in the commit of a unit.
///
/// Every step ends within a time of its own; one that did not is reported as a failure that may have worked. Dropping
/// a participant gives its connection back if it is clean, and closes it otherwise.
pub(crate) trait Participant: Send {
    /// What is known before.
    fn profile(&self) -> Profile;
    /// Asks whether it wrote.
    fn ask(&mut self) -> BoxFuture<'_, Result<Asked, Fault>>;
    /// Reads the id of its database, and whether that could hold the decision.
    fn identify(&mut self) -> BoxFuture<'_, Result<Identified, Fault>>;
    /// Prepares.
    fn prepare<'a>(&'a mut self, branch: &'a Branch) -> BoxFuture<'a, Result<(), Fault>>;
    /// Commits on its own: nobody else wrote.
    fn commit(&mut self) -> BoxFuture<'_, Result<(), Aloneness>>;
    /// Commits together with the decision.
    fn decide<'a>(&'a mut self, decision: &'a Decision) -> BoxFuture<'a, Result<(), Fault>>;
    /// Makes sure that its savepoint could be released, where the unit is in a transaction of somebody else.
    fn releasable(&mut self) -> BoxFuture<'_, Result<(), Fault>>;
    /// Releases its savepoint: keeps the unit in a transaction of somebody else.
    fn release(&mut self) -> BoxFuture<'_, Result<(), Fault>>;
    /// Rolls back what was not prepared, and tells what that leaves. A connection that cannot is closed, which rolls
    /// back as well.
    fn roll_back(&mut self) -> BoxFuture<'_, Undone>;
    /// What the end of its transaction has left, where that was not its commit.
    fn undone(&self) -> Undone;
    /// Keeps a late decision out and reads the outcome, on another connection, until a time limit.
    fn resolve<'a>(&'a mut self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>>;
    /// Finishes what was prepared, or may have been, in the database with this id.
    fn finish<'a>(
        &'a mut self,
        branch: &'a Branch,
        outcome: Outcome,
        database: DatabaseId,
    ) -> BoxFuture<'a, Result<(), Fault>>;
    /// Closes the connection as the death of the process does: without a word to the server.
    #[cfg(feature = "testing")]
    fn cut(&mut self) -> BoxFuture<'_, ()>;
}

/// The binds of which it is not certain that nothing is kept.
pub(super) fn ended(undone: &[(&'static str, Undone)]) -> Vec<&'static str> {
    let ended = undone
        .iter()
        .filter(|(_, undone)| *undone != Undone::NothingKept);
    ended.map(|(bind, _)| *bind).collect()
}
