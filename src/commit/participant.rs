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

/// The answer of a server about a transaction, before the end of the unit is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `true` if the transaction wrote.
    pub wrote: bool,
    /// `true` if the commit may fail although the transaction only read.
    pub serializable: bool,
}

/// The answer of a database about itself, before it takes part in a unit of several writers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identified {
    /// The id of the database.
    pub database: DatabaseId,
    /// `true` if records of units as old as this one may have been deleted there. The database then cannot hold the
    /// decision.
    pub has_forgotten: bool,
}

/// The properties of a participant before the commit begins.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub(crate) key: &'static str,
    pub(crate) writer: bool,
    /// `true` if the server refuses writes in this transaction.
    pub(crate) read_only: bool,
    pub(crate) askable: bool,
    pub(crate) database: Option<DatabaseId>,
    /// The fingerprint of the database, which distinguishes it from others of its kind, whatever its id. Empty if
    /// nothing distinguishes it.
    pub(crate) fingerprint: Arc<str>,
    pub(crate) cannot_prepare: Option<String>,
    pub(crate) holder_rank: i8,
    pub(crate) needs_decision_row: bool,
    /// `true` if the unit is a savepoint in an outer transaction.
    pub(crate) within_outer: bool,
}

/// Returns whether two fingerprints certainly belong to two databases.
pub(crate) fn are_distinct(one: &str, other: &str) -> bool {
    !one.is_empty() && !other.is_empty() && one != other
}

/// The result of a roll-back on one bind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "a unit is rolled back only where every bind confirms it"]
pub(crate) enum Undone {
    /// Nothing of the unit is kept. Either the roll-back was confirmed in the transaction of the unit, or only typed
    /// queries ran, which cannot end it.
    NothingKept,
    /// The transaction of the unit was gone. Whatever ended it keeps or undoes the work before it.
    Ended,
    /// A statement in text, a hook or the raw connection may have ended the transaction, and nothing confirms that none
    /// did.
    Unconfirmed,
    /// The transaction was rolled back, and the server said that it had changed a table without transactions.
    NonTransactional,
}

impl Undone {
    /// Returns the reason why the roll-back is not certain, if it is not.
    pub(crate) fn fault(self) -> Option<Fault> {
        match self {
            Self::NothingKept => None,
            Self::Ended => Some(Fault::TransactionEnded(
                diesel::result::Error::NotInTransaction,
            )),
            Self::Unconfirmed => Some(Fault::TransactionMaybeEnded),
            Self::NonTransactional => Some(Fault::NonTransactional(
                diesel::result::Error::DatabaseError(
                    diesel::result::DatabaseErrorKind::Unknown,
                    Box::new("a changed table could not be rolled back".to_owned()),
                ),
            )),
        }
    }
}

/// The failure of a lone commit.
#[derive(Debug)]
pub(crate) enum LoneCommitError {
    /// The server keeps nothing of the transaction that the message ended. [`Participant::undone`] returns whether that
    /// was the transaction of the unit.
    Refused(Fault),
    /// The reply was lost: the transaction is committed or not.
    Unknown(Fault),
}

impl LoneCommitError {
    pub(crate) fn into_fault(self) -> Fault {
        match self {
            Self::Refused(fault) | Self::Unknown(fault) => fault,
        }
    }
}

/// One bind in the commit of a unit.
///
/// Every step has a time limit. A step that exceeds it is reported as failed, and may have succeeded. Dropping a
/// participant gives its connection back if it is clean, and closes it otherwise.
pub(crate) trait Participant: Send {
    /// Returns the properties of the participant before the commit.
    fn profile(&self) -> Profile;
    /// Asks the server whether the transaction wrote.
    fn ask(&mut self) -> BoxFuture<'_, Result<Asked, Fault>>;
    /// Reads the id of the database, and whether the database could hold the decision.
    fn identify(&mut self) -> BoxFuture<'_, Result<Identified, Fault>>;
    /// Prepares.
    fn prepare<'a>(&'a mut self, branch: &'a Branch) -> BoxFuture<'a, Result<(), Fault>>;
    /// Commits without a decision: no other participant wrote.
    fn commit(&mut self) -> BoxFuture<'_, Result<(), LoneCommitError>>;
    /// Commits together with the decision.
    fn decide<'a>(&'a mut self, decision: &'a Decision) -> BoxFuture<'a, Result<(), Fault>>;
    /// Checks that the savepoint could be released, if the unit is in an outer transaction.
    fn releasable(&mut self) -> BoxFuture<'_, Result<(), Fault>>;
    /// Releases the savepoint, which keeps the unit in the outer transaction.
    fn release(&mut self) -> BoxFuture<'_, Result<(), Fault>>;
    /// Rolls back an unprepared transaction, and returns the result. If that fails, closes the connection, which rolls
    /// back as well.
    fn roll_back(&mut self) -> BoxFuture<'_, Undone>;
    /// Returns the result of the end of the transaction, unless that end was its commit.
    fn undone(&self) -> Undone;
    /// Reads the outcome, and writes a fence if there is none: on another connection, until a time limit.
    fn resolve<'a>(&'a mut self, gid: &'a Gid) -> BoxFuture<'a, Result<Outcome, Fault>>;
    /// Finishes a branch that was prepared, or may have been, in the database with this id.
    fn finish<'a>(
        &'a mut self,
        branch: &'a Branch,
        outcome: Outcome,
        database: DatabaseId,
    ) -> BoxFuture<'a, Result<(), Fault>>;
    /// Closes the connection as a crash of the process does: nothing is sent to the server.
    #[cfg(feature = "testing")]
    fn cut(&mut self) -> BoxFuture<'_, ()>;
}

/// Returns the binds that may keep something of the unit.
pub(super) fn ended(undone: &[(&'static str, Undone)]) -> Vec<&'static str> {
    let ended = undone
        .iter()
        .filter(|(_, undone)| *undone != Undone::NothingKept);
    ended.map(|(bind, _)| *bind).collect()
}
