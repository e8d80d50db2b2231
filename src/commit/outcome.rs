//! The outcome of a unit, for the caller.

use crate::commit::HookFailure;
use crate::gid::{Gid, UnitId};

/// The end of a unit that was not rolled back: it is committed, or only released into outer transactions.
///
/// A unit is released only in a session within outer transactions
/// ([`SessionOptions::within`](crate::SessionOptions::within)), and in a sandbox for tests. There is no third end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Commit {
    /// The unit is committed, and the decision is durable.
    Committed(Committed),
    /// The savepoints of the unit are released. The outer transactions keep or lose its work.
    Released(Released),
}

impl Commit {
    /// Returns the id of the unit.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        match self {
            Self::Committed(committed) => committed.unit,
            Self::Released(released) => released.unit,
        }
    }

    /// Returns the keys of the binds that took part. A SQLite file that is attached to another bind is part of that one.
    #[must_use]
    pub fn binds(&self) -> &[&'static str] {
        match self {
            Self::Committed(committed) => &committed.binds,
            Self::Released(released) => &released.binds,
        }
    }

    /// Returns the global transaction id, if the unit is committed with the record of a decision: several binds wrote, or
    /// one that [records every commit](crate::BindOptions::record_every_commit).
    #[must_use]
    pub fn gid(&self) -> Option<&Gid> {
        self.committed().and_then(Committed::gid)
    }

    /// Returns the hooks that failed after the end ([`after_commit`](crate::Session::after_commit)). They change
    /// nothing of it. For a released unit, hooks run only in a sandbox.
    #[must_use]
    pub fn hook_failures(&self) -> &[HookFailure] {
        match self {
            Self::Committed(committed) => &committed.hook_failures,
            Self::Released(released) => &released.hook_failures,
        }
    }

    /// Returns the committed unit. `None` if the unit is only released.
    #[must_use]
    pub fn committed(&self) -> Option<&Committed> {
        match self {
            Self::Committed(committed) => Some(committed),
            Self::Released(_) => None,
        }
    }

    /// Returns the committed unit by value. `None` if the unit is only released.
    #[must_use]
    pub fn into_committed(self) -> Option<Committed> {
        match self {
            Self::Committed(committed) => Some(committed),
            Self::Released(_) => None,
        }
    }

    /// Adds a hook that failed after the end.
    pub(crate) fn add_hook_failure(&mut self, failure: HookFailure) {
        match self {
            Self::Committed(committed) => committed.hook_failures.push(failure),
            Self::Released(released) => released.hook_failures.push(failure),
        }
    }
}

/// A unit that is committed on every bind that took part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub(crate) unit: UnitId,
    pub(crate) gid: Option<Gid>,
    pub(crate) binds: Vec<&'static str>,
    pub(crate) pending: Vec<&'static str>,
    pub(crate) hook_failures: Vec<HookFailure>,
}

impl Committed {
    /// Returns the id of the unit.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.unit
    }

    /// Returns the global transaction id, if the commit has the record of a decision: several binds wrote, or one that
    /// [records every commit](crate::BindOptions::record_every_commit). Attached SQLite files are one bind here, and a
    /// [best-effort](crate::SessionOptions::best_effort) commit has no record.
    #[must_use]
    pub fn gid(&self) -> Option<&Gid> {
        self.gid.as_ref()
    }

    /// Returns the keys of the binds that took part. A SQLite file that is attached to another bind is part of that one.
    #[must_use]
    pub fn binds(&self) -> &[&'static str] {
        &self.binds
    }

    /// Returns the keys of the binds that have not confirmed the commit yet. The decision is durable, and recovery
    /// commits them. Until then they keep their locks and show the state before the unit.
    #[must_use]
    pub fn pending(&self) -> &[&'static str] {
        &self.pending
    }

    /// Returns the hooks that failed after the commit ([`after_commit`](crate::Session::after_commit)). The unit is
    /// committed.
    #[must_use]
    pub fn hook_failures(&self) -> &[HookFailure] {
        &self.hook_failures
    }
}

/// A unit that is released into outer transactions: nothing is committed yet.
///
/// The outer transactions keep or lose its work ([`SessionOptions::within`](crate::SessionOptions::within)). In a
/// sandbox, later sessions of the sandbox see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Released {
    pub(crate) unit: UnitId,
    pub(crate) binds: Vec<&'static str>,
    pub(crate) hook_failures: Vec<HookFailure>,
}

impl Released {
    /// Returns the id of the unit.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.unit
    }

    /// Returns the keys of the binds that took part. A SQLite file that is attached to another bind is part of that one.
    #[must_use]
    pub fn binds(&self) -> &[&'static str] {
        &self.binds
    }

    /// Returns the hooks that failed after the release. Hooks [after](crate::Session::after_commit) a commit run for a
    /// released unit only in a sandbox.
    #[must_use]
    pub fn hook_failures(&self) -> &[HookFailure] {
        &self.hook_failures
    }
}
