//! The report of recovery.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::commit::{Fault, Outcome};
use crate::gid::{Gid, UnitId};

/// The report of one pass of recovery: branches that were finished, and those that were left alone.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// The branches that were finished.
    pub recovered: Vec<Recovered>,
    /// The branches that are still in doubt.
    pub in_doubt: Vec<InDoubtBranch>,
    /// The binds that could not be read.
    pub unreachable: Vec<(&'static str, Fault)>,
    /// The number of deleted records, of decisions and branches that are not needed any more.
    pub forgotten: usize,
    /// The binds whose old records could not be deleted, and the binds that could not be read: records that name the
    /// latter stay. This does no harm to units.
    pub not_forgotten: Vec<(&'static str, Fault)>,
}

/// A branch that recovery finished.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The key of the bind.
    pub bind: &'static str,
    /// The unit and its holder.
    pub gid: Gid,
    /// The outcome of the unit.
    pub outcome: Outcome,
}

/// A branch that is prepared and unfinished: it keeps its locks.
#[derive(Debug)]
#[non_exhaustive]
pub struct InDoubtBranch {
    /// The key of the bind.
    pub bind: &'static str,
    /// The name of the branch, as the server lists it.
    pub name: String,
    /// The id of the unit, if it can be read from the branch.
    pub unit: Option<UnitId>,
    /// The unit and its holder, if they can be read from the branch.
    pub gid: Option<Gid>,
    /// The time since the branch was prepared, if the server records it.
    pub age: Option<Duration>,
    /// The reason why the branch was left alone.
    pub reason: InDoubtReason,
}

/// The reason why a branch was left alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InDoubtReason {
    /// The pass only lists.
    #[error(
        "the call only lists; `binds.recovery().run()` or `diesel-binds recover` finishes the unit"
    )]
    OnlyListed,
    /// The process that prepared the branch may still be about to finish it.
    #[error("it was prepared a moment ago, and its process may still finish it: wait")]
    Young,
    /// No row names the holder of the branch: it belongs to another database of the server, or its row is gone.
    #[error(
        "no row names the holder of its decision: correct the URL of the bind, or finish the branch by hand"
    )]
    HolderNotNamed,
    /// The branch belongs to another application, which has not finished it for a minute. The branch keeps locks in the
    /// database.
    #[error("it belongs to the application `{0}`")]
    ForeignNamespace(String),
    /// The branch is in another database of the server (PostgreSQL): the bind led there when it was prepared.
    #[error(
        "it is in the database `{0}` of the server, and the bind leads to another one: correct the URL"
    )]
    OtherDatabase(String),
    /// The branch belongs to a role, and the connection's role is not a member of it (PostgreSQL).
    #[error(
        "it belongs to the role `{0}`, of which the role of the bind is not a member: grant it"
    )]
    OtherRole(String),
    /// The server does not list the branch any more, and keeps it prepared (MariaDB). It was finished while the
    /// connection that prepared it was closing. After a restart, the server lists it again.
    #[error("the server does not list it any more, and keeps it prepared: restart the server")]
    NameLost,
    /// The holder of the branch is not a bind of this process.
    #[error("this process has no bind of its holder's key: recover in a process that has it")]
    UnknownHolder,
    /// The holder's bind leads to another database than the one that decided.
    #[error(
        "the bind of its holder leads to another database than the one that decided: correct the URL; if that \
         database is lost, force the unit"
    )]
    ReplacedHolder,
    /// The holder has no record of the unit, and may have deleted it: the branch was prepared for longer than records
    /// are kept.
    #[error("its holder may have deleted the record of the outcome: force the unit")]
    Forgotten,
    /// An operator has decided in the place of the holder, which had forgotten the unit. The same call of force
    /// finishes the rest.
    #[error(
        "an operator has forced the unit: repeat that call, with the outcome in `diesel_binds_forced`"
    )]
    Forced,
    /// The holder could not be asked.
    #[error("its holder could not be asked")]
    Holder(#[source] Arc<Fault>),
    /// The outcome is known, but the branch could not be finished.
    #[error("the unit is {0}, and the branch could not be finished")]
    Unfinished(Outcome, #[source] Arc<Fault>),
}

impl RecoveryReport {
    /// Returns whether all binds were read and nothing is left in doubt.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.in_doubt.is_empty() && self.unreachable.is_empty()
    }
}

impl fmt::Display for RecoveryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Recovered { bind, gid, outcome } in &self.recovered {
            writeln!(f, "{bind}: {gid} finished: {outcome}")?;
        }
        for branch in &self.in_doubt {
            // By the gid, which an operator can ask for.
            match &branch.gid {
                Some(gid) => write!(f, "{}: {gid} in doubt", branch.bind)?,
                None => write!(f, "{}: {} in doubt", branch.bind, branch.name)?,
            }
            if let Some(age) = branch.age {
                write!(f, " for {} s", age.as_secs())?;
            }
            writeln!(f, ": {}{}", branch.reason, causes(&branch.reason))?;
        }
        for (bind, fault) in &self.unreachable {
            writeln!(f, "{bind}: not reached: {fault}{}", causes(fault))?;
        }
        for (bind, fault) in &self.not_forgotten {
            writeln!(f, "{bind}: old records stay: {fault}{}", causes(fault))?;
        }
        Ok(())
    }
}

fn causes(error: &dyn std::error::Error) -> String {
    let mut text = String::new();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
