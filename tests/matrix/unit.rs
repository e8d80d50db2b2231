//! One unit of a case, and the result for its caller.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use diesel_binds::testing::{Effect, FaultPlan};
use diesel_binds::{Binds, CommitError, Session, SessionOptions, UnitId};
use kit::step::Step;
use kit::world::Sides;

use crate::case::{Shape, Trouble};
use crate::settings::{Attempt, Limits, Site};

/// Limits that are long enough for a server to come back.
pub(crate) const PATIENT: Limits = Limits {
    step: Duration::from_secs(20),
    resolve: Duration::from_secs(20),
};

/// The result for a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CommitReport {
    /// No result: the process was killed.
    Nothing,
    Committed {
        pending: Vec<String>,
    },
    RolledBack {
        pending: Vec<String>,
    },
    /// In doubt, with the gid for later questions.
    InDoubt(String),
    /// Possible only for a unit with one writer.
    Unknown,
    /// A result that no unit of the matrix may have.
    Unexpected(String),
}

/// Runs a unit with this plan.
pub(crate) async fn run<S: Sides>(
    binds: &Binds,
    plan: &FaultPlan,
    shape: Shape,
    text: &str,
) -> (UnitId, CommitReport) {
    let mut session = session(binds, plan);
    (session.unit(), work::<S>(&mut session, shape, text).await)
}

fn session(binds: &Binds, plan: &FaultPlan) -> Session {
    binds.with(SessionOptions::new().faults(plan)).session()
}

/// Runs the statements of the unit, and its commit.
pub(crate) async fn work<S: Sides>(
    session: &mut Session,
    shape: Shape,
    text: &str,
) -> CommitReport {
    for index in 0..S::keys().len() {
        let step = match shape {
            Shape::Read if index == 0 => Step::Select,
            _ => Step::Insert,
        };
        if let Err(error) = S::step(index, step, session, "", text).await {
            return CommitReport::Unexpected(format!("{error:?}"));
        }
    }
    let names = |pending: &[&str]| pending.iter().map(|key| (*key).to_owned()).collect();
    match session.commit_all().await {
        Ok(committed) => CommitReport::Committed {
            pending: names(committed.committed().unwrap().pending()),
        },
        Err(CommitError::RolledBack { pending, .. }) => CommitReport::RolledBack {
            pending: names(&pending),
        },
        Err(CommitError::InDoubt { gid, .. }) => CommitReport::InDoubt(gid.to_string()),
        Err(CommitError::Unknown { .. }) => CommitReport::Unknown,
        Err(error) => CommitReport::Unexpected(format!("{error:?}")),
    }
}

/// Runs a unit in this process, which is killed during it. First prints the id of the unit, and finally the result if
/// it was not killed.
pub(crate) async fn as_process<S: Sides>(site: &Site, attempt: &Attempt) {
    let binds = site.binds::<S>(&site.urls, PATIENT).await;
    let plan = Trouble::plan(attempt.first.as_ref()).at(&attempt.point, Effect::Kill);
    let mut session = session(&binds, &plan);
    println!("{}", session.unit());
    let reported = work::<S>(&mut session, attempt.shape, &attempt.text).await;
    println!("{reported}");
}

impl CommitReport {
    /// Returns a word for the result.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Committed { .. } => "committed",
            Self::RolledBack { .. } => "rolled back",
            Self::InDoubt(_) => "in doubt",
            Self::Unknown => "unknown",
            Self::Unexpected(_) => "unexpected",
        }
    }
}

impl fmt::Display for CommitReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Committed { pending } => write!(f, "committed {}", pending.join(" ")),
            Self::RolledBack { pending } => write!(f, "rolled-back {}", pending.join(" ")),
            Self::InDoubt(gid) => write!(f, "in-doubt {gid}"),
            Self::Unknown => f.write_str("unknown"),
            Self::Unexpected(error) => write!(f, "unexpected {}", error.replace('\n', " ")),
        }
    }
}

impl FromStr for CommitReport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let pending = || rest.split_whitespace().map(str::to_owned).collect();
        Ok(match word {
            "committed" => Self::Committed { pending: pending() },
            "rolled-back" => Self::RolledBack { pending: pending() },
            "in-doubt" => Self::InDoubt(rest.to_owned()),
            "unknown" => Self::Unknown,
            "unexpected" => Self::Unexpected(rest.to_owned()),
            _ => return Err(format!("no answer: {text}")),
        })
    }
}
