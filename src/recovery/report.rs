//! What recovery did, and what it left alone.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::commit::{Fault, Outcome};
use crate::gid::{Gid, UnitId};

/// What one pass of recovery did, and what it left alone.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// Branches that it finished.
    pub recovered: Vec<Recovered>,
    /// Branches that are still in doubt.
    pub in_doubt: Vec<InDoubtBranch>,
    /// Binds that it could not look at.
    pub unreachable: Vec<(&'static str, Fault)>,
    /// How many old records it deleted, of decisions and branches that nobody needs any more.
    pub forgotten: usize,
    /// Binds whose old records it could not delete, and those that could not be looked at whether they have finished, so that
    /// records which name them stay. Units are none the worse for that.
    pub not_forgotten: Vec<(&'static str, Fault)>,
}

/// A branch that recovery finished.
#[derive(Debug)]
#[non_exhaustive]
pub struct Recovered {
    /// The key of the bind.
    pub bind: &'static str,
    /// The unit.
    pub gid: Gid,
    /// How it ended.
    pub outcome: Outcome,
}

/// A branch that is prepared and unfinished: it keeps its locks.
#[derive(Debug)]
#[non_exhaustive]
pub struct InDoubtBranch {
    /// The key of the bind.
    pub bind: &'static str,
    /// Its name, as the server lists it.
    pub name: String,
    /// The unit, if that can be told.
    pub unit: Option<UnitId>,
    /// The unit and its holder, if that can be told.
    pub gid: Option<Gid>,
    /// How long it has been prepared, if the server says so.
    pub age: Option<Duration>,
    /// Why it was left alone.
    pub left: Left,
}

/// Why a branch was left alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Left {
    /// Nobody asked for more than a look.
    #[error("it was only looked at")]
    Looked,
    /// The process that prepared it may still be about to finish it.
    #[error("it was prepared only just now")]
    Young,
    /// It has no row that says who holds its decision: it belongs to another database of the server, or its row is gone.
    #[error("nothing here says who holds its decision")]
    Unplaced,
    /// It belongs to another application, which has not finished it for a minute, and it keeps locks in our database.
    #[error("it belongs to the application `{0}`")]
    ForeignNamespace(String),
    /// It is in another database of the server (PostgreSQL): the bind led there when it was prepared.
    #[error("it is in the database `{0}` of the server, and the bind leads to another one")]
    OtherDatabase(String),
    /// It belongs to a role that ours is no member of (PostgreSQL).
    #[error("it belongs to the role `{0}`, and ours is no member of that")]
    OtherRole(String),
    /// The server does not list it any more, and keeps it prepared (MariaDB): somebody finished it while the connection
    /// that prepared it was going away. After a restart, the server lists it again.
    #[error("the server has lost its name: restart the server, which then lets it be finished")]
    NameLost,
    /// Its holder is not a bind of this process.
    #[error("this process has no bind of its holder's key")]
    UnknownHolder,
    /// The bind of its holder leads to another database than the one that decided.
    #[error("its holder's key leads to another database than the one that decided")]
    ReplacedHolder,
    /// Its holder has recorded nothing of it, and may have deleted that: it was prepared for longer than records are
    /// kept.
    #[error("its holder may have deleted the record of how it ended")]
    Forgotten,
    /// An operator has decided in the place of its holder, which had forgotten it: the same call of force finishes the
    /// rest.
    #[error(
        "an operator has forced the unit: repeat that call, as `diesel_binds_forced` of its databases says"
    )]
    Forced,
    /// Its holder could not be asked.
    #[error("its holder could not be asked")]
    Holder(#[source] Arc<Fault>),
    /// Its outcome is known, but it could not be finished.
    #[error("it could not be finished as {0:?}")]
    Unfinished(Outcome, #[source] Arc<Fault>),
}

impl RecoveryReport {
    /// Whether all binds were seen and nothing is left in doubt.
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
            // By what an operator can ask for.
            match &branch.gid {
                Some(gid) => write!(f, "{}: {gid} in doubt", branch.bind)?,
                None => write!(f, "{}: {} in doubt", branch.bind, branch.name)?,
            }
            if let Some(age) = branch.age {
                write!(f, " for {} s", age.as_secs())?;
            }
            writeln!(f, ": {}{}", branch.left, causes(&branch.left))?;
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
