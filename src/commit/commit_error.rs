//! The errors of a commit.

use std::fmt;

use diesel_binds_derive::ErrorDebug;

use crate::commit::Fault;
use crate::commit::conflict::is_conflict;
use crate::commit::participant::{Undone, ended};
use crate::gid::{Gid, UnitId};

/// The reason why a unit is not known to be committed, and the outcome for its data.
///
/// After [`InDoubt`](Self::InDoubt), [`Unknown`](Self::Unknown), [`Interrupted`](Self::Interrupted),
/// [`TransactionEnded`](Self::TransactionEnded) or [`Partial`](Self::Partial), the outcome is open, or the unit is kept
/// in part. Never repeat a unit after one of them before you have looked at the data
/// ([`is_in_doubt`](Self::is_in_doubt)).
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The unit was rolled back. Binds in `pending` keep their locks until recovery rolls them back.
    #[error(
        "the unit was rolled back on every bind, because of `{bind}`{}",
        not_yet(pending)
    )]
    RolledBack {
        /// The bind that prevented the commit.
        bind: &'static str,
        /// The binds that could not be rolled back yet. They keep their locks until recovery rolls them back.
        pending: Vec<&'static str>,
        /// The reason.
        source: Fault,
    },

    /// The transaction of `bind` was gone before it could be committed or rolled back, or may have been. A statement in
    /// text, a hook or the raw connection ended it (`COMMIT`, `ROLLBACK`, DDL on MariaDB), or the server did. That
    /// end alone decides whether the work before it on `bind` is kept. On MariaDB, this is also the error of a
    /// transaction that was rolled back and had changed a table without transactions ([`Fault::NonTransactional`]). All
    /// binds that are not named were rolled back.
    ///
    /// Look at the data before you repeat the unit.
    #[error(
        "the work on `{bind}`{} may be kept: its transaction was ended before the commit, or may have been, by a \
         COMMIT, ROLLBACK or DDL on its connection or by the server, or it changed a table without transactions; all \
         other binds were rolled back{}; check the data before you repeat the unit",
        and_on(also),
        not_yet(pending)
    )]
    TransactionEnded {
        /// The bind.
        bind: &'static str,
        /// Further binds whose transactions ended in the same way.
        also: Vec<&'static str>,
        /// The binds that could not be rolled back yet. They keep their locks until recovery rolls them back.
        pending: Vec<&'static str>,
        /// The reason why the unit did not commit.
        source: Fault,
    },

    /// Two binds that wrote cannot prepare, so that no commit of both is atomic. Nothing is kept on any bind.
    ///
    /// Let one of them prepare, attach SQLite files to one connection, or accept the risk of
    /// [`SessionOptions::best_effort`](crate::SessionOptions::best_effort).
    #[error(
        "`{first}` and `{second}` both wrote and neither can prepare ({reason}): the unit was rolled back on every bind"
    )]
    NotAtomic {
        /// The first bind.
        first: &'static str,
        /// The second bind.
        second: &'static str,
        /// The reason why the second bind cannot prepare.
        reason: String,
    },

    /// A hook vetoed the commit ([`before_commit`](crate::Session::before_commit)). Nothing is kept on any bind.
    #[error(
        "the hook registered at {registered_at} vetoed the commit: the unit was rolled back on every bind"
    )]
    Vetoed {
        /// The place where the hook was registered.
        registered_at: &'static std::panic::Location<'static>,
        /// The error of the hook.
        source: Box<dyn std::error::Error + Send + Sync + 'static>,
    },

    /// The holder of the decision could not be asked. The unit is committed or rolled back everywhere as soon as the
    /// holder answers: ask for the outcome with the gid.
    #[error(
        "the unit {gid} is in doubt: `{}` could not be asked whether it committed; ask for the outcome of the gid before you repeat it",
        gid.holder()
    )]
    InDoubt {
        /// The id to ask with.
        gid: Box<Gid>,
        /// The reason why the holder could not be asked.
        source: Fault,
    },

    /// Only `bind` wrote, and its reply to the commit was lost. No record says how the unit ended. Look at the data
    /// before you repeat the unit.
    #[error(
        "the reply to the commit on `{bind}` was lost: the unit is committed or rolled back, and no record shows \
         which; check the data before you repeat it"
    )]
    Unknown {
        /// The bind.
        bind: &'static str,
        /// The reason why the reply was lost.
        source: Fault,
    },

    /// The task that commits was stopped: the runtime is shutting down, or the task panicked. If several binds wrote,
    /// recovery commits the unit or rolls it back. If one bind wrote, its work may be committed or not, and no record
    /// shows which. Look at the data before you repeat the unit.
    #[error(
        "the commit of unit {unit} was interrupted: recovery commits or rolls back a unit of several writers as a \
         whole, and a unit of one writer is committed or not; check the data before you repeat it"
    )]
    Interrupted {
        /// The id of the unit.
        unit: UnitId,
        /// The reason why the task ended.
        source: tokio::task::JoinError,
    },

    /// A query, a stream or a raw connection of the session is still in use. Nothing was ended: the unit is open.
    #[error(
        "`{bind}` is still in use by a query, a stream or a raw connection of this session; the unit is still open"
    )]
    Busy {
        /// The bind.
        bind: &'static str,
    },

    /// The closure of `binds.transaction(..)` decides by its return value. Nothing was ended: the unit is open.
    #[error(
        "the session belongs to a `transaction` or `savepoint`, which ends it by its result; the unit is still open"
    )]
    InsideTransaction,

    /// A best-effort commit, or the end of a unit within outer transactions, stopped in between: the unit is kept in
    /// part, or may be.
    #[error("the unit is torn: {0}")]
    Partial(Box<Partial>),
}

/// The result on each bind, if a best-effort commit or the end within outer transactions stopped in between.
#[derive(Debug, Default)]
pub struct Partial {
    /// The binds that committed.
    pub committed: Vec<&'static str>,
    /// The binds that were rolled back.
    pub rolled_back: Vec<&'static str>,
    /// The binds whose transactions were ended by another statement or by the server, or may have been
    /// ([`TransactionEnded`](CommitError::TransactionEnded)).
    pub ended: Vec<&'static str>,
    /// The binds whose replies were lost.
    pub unknown: Vec<&'static str>,
    /// The bind that failed, and its fault.
    pub fault: Option<(&'static str, Fault)>,
}

impl Partial {
    /// Notes the result of a roll-back on a bind.
    pub(crate) fn undone(&mut self, bind: &'static str, undone: Undone) {
        match undone {
            Undone::NothingKept => self.rolled_back.push(bind),
            Undone::Ended | Undone::Unconfirmed | Undone::NonTransactional => {
                self.ended.push(bind);
            }
        }
    }

    /// Returns the result of a unit whose binds ended one after the other. `done` makes it from the binds, if none
    /// failed.
    pub(crate) fn conclude<T>(
        mut self,
        done: impl FnOnce(Vec<&'static str>) -> T,
    ) -> Result<T, CommitError> {
        match self.fault.take() {
            None => Ok(done(self.committed)),
            Some((bind, source)) if self.committed.is_empty() && self.unknown.is_empty() => Err(
                CommitError::rolled_back(bind, self.ended, Vec::new(), source),
            ),
            fault => Err(CommitError::Partial(Box::new(Self { fault, ..self }))),
        }
    }
}

impl fmt::Display for Partial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "committed [{}], rolled back [{}], unknown [{}]",
            self.committed.join(", "),
            self.rolled_back.join(", "),
            self.unknown.join(", ")
        )?;
        if !self.ended.is_empty() {
            write!(f, ", ended before [{}]", self.ended.join(", "))?;
        }
        if let Some((bind, fault)) = &self.fault {
            // With its sources: no other text contains them.
            write!(f, "; `{bind}`: {fault:?}")?;
        }
        Ok(())
    }
}

impl CommitError {
    /// Creates the error of a roll-back, if a bind does not confirm that nothing is kept there.
    pub(super) fn unconfirmed(undone: &[(&'static str, Undone)]) -> Option<Self> {
        let mut undone_binds = undone.iter();
        let (bind, fault) =
            undone_binds.find_map(|(bind, undone)| Some((*bind, undone.fault()?)))?;
        Some(Self::rolled_back(bind, ended(undone), Vec::new(), fault))
    }

    /// Creates the error of a unit that `bind` prevented, and that is kept nowhere but perhaps on the binds in `ended`.
    pub(crate) fn rolled_back(
        bind: &'static str,
        mut ended: Vec<&'static str>,
        pending: Vec<&'static str>,
        source: Fault,
    ) -> Self {
        if ended.is_empty() {
            return Self::RolledBack {
                bind,
                pending,
                source,
            };
        }
        let first = ended.remove(0);
        Self::TransactionEnded {
            bind: first,
            also: ended,
            pending,
            source,
        }
    }

    /// Replaces the source of a `TransactionEnded` by `fault`, which led to the roll-back.
    pub(crate) fn because(mut self, fault: Fault) -> Self {
        if let Self::TransactionEnded { source, .. } = &mut self {
            *source = fault;
        }
        self
    }

    /// Returns whether the unit, or a part of it, may be committed or may still become so. Never repeat it before you
    /// know.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(
            self,
            Self::InDoubt { .. }
                | Self::Unknown { .. }
                | Self::Interrupted { .. }
                | Self::TransactionEnded { .. }
                | Self::Partial(_)
        )
    }

    /// Returns Diesel's error, if a database refused to commit.
    #[must_use]
    pub fn diesel(&self) -> Option<&diesel::result::Error> {
        match self {
            Self::RolledBack {
                source: Fault::Refused(error),
                ..
            } => Some(error),
            _ => None,
        }
    }

    /// Returns whether nothing of the unit is kept, and the cause is a conflict with another unit, so that the unit may
    /// succeed if it runs again. See [`Error::is_retryable`](crate::Error::is_retryable).
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.diesel().is_some_and(is_conflict)
    }

    /// Returns whether nothing of the unit is kept on any bind.
    #[must_use]
    pub fn is_rolled_back(&self) -> bool {
        matches!(
            self,
            Self::RolledBack { .. } | Self::NotAtomic { .. } | Self::Vetoed { .. }
        )
    }

    /// Returns the key of the bind that the error is about.
    #[must_use]
    pub fn bind(&self) -> Option<&str> {
        match self {
            Self::RolledBack { bind, .. }
            | Self::TransactionEnded { bind, .. }
            | Self::Unknown { bind, .. }
            | Self::Busy { bind }
            | Self::NotAtomic { second: bind, .. } => Some(bind),
            Self::InDoubt { gid, .. } => Some(gid.holder()),
            Self::Partial(partial) => partial.fault.as_ref().map(|(bind, _)| *bind),
            Self::Interrupted { .. } | Self::InsideTransaction | Self::Vetoed { .. } => None,
        }
    }
}

fn and_on(also: &[&'static str]) -> String {
    also.iter().map(|bind| format!(" and `{bind}`")).collect()
}

fn not_yet(pending: &[&'static str]) -> String {
    if pending.is_empty() {
        String::new()
    } else {
        format!("; [{}] will be by recovery", pending.join(", "))
    }
}
