//! The words of the protocol: the members, the steps and the replies.

use std::fmt;

/// The outcome of a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All work of the unit is kept.
    Committed,
    /// Nothing of the unit is kept.
    RolledBack,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Committed => "committed",
            Self::RolledBack => "rolled back",
        })
    }
}

/// The abilities of one participant, and the writes that its statements show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    /// The member wrote, or may have.
    pub(crate) writer: bool,
    /// The server can tell whether the member wrote, and has not been asked.
    pub(crate) askable: bool,
    /// The id of the member's database is known.
    pub(crate) identified: bool,
    /// The member can prepare.
    pub(crate) can_prepare: bool,
    /// The rank of the member as a holder; the largest is chosen.
    pub(crate) holder_rank: i8,
    /// The commit needs a decision row even if the member is the only writer.
    pub(crate) needs_decision_row: bool,
}

/// A step of a commit on one bind. See `docs/commit.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[cfg_attr(
    not(feature = "testing"),
    allow(unreachable_pub, reason = "public as `testing::Step`")
)]
pub enum Step {
    /// `ask`: a bind that seems to have only read is asked whether it wrote.
    Ask,
    /// `identify`: the id of the database is read, in the first unit of a process. SQLite is asked each time.
    Identify,
    /// `prepare`: a writer promises to commit.
    Prepare,
    /// `decide`: the holder commits its own work together with the decision.
    Decide,
    /// `apply`: a writer that prepared commits.
    Apply,
    /// `end`: a bind that only read ends.
    End,
    /// `commit`: the only writer commits.
    Commit,
    /// `roll-back`: a bind that has not prepared rolls back.
    RollBack,
    /// `resolve`: the holder is asked for the outcome, because the reply to the decision was not read.
    Resolve,
    /// `undo`: a bind that prepared, or may have, rolls back.
    Undo,
}

impl Step {
    /// Returns the name of the step in traces and in the points of a plan of faults.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::Identify => "identify",
            Self::Prepare => "prepare",
            Self::Decide => "decide",
            Self::Apply => "apply",
            Self::End => "end",
            Self::Commit => "commit",
            Self::RollBack => "roll-back",
            Self::Resolve => "resolve",
            Self::Undo => "undo",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The reply to a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// The step was carried out.
    Done,
    /// The step was not carried out, or its result is not known.
    Failed,
    /// The result of a lone commit is not known.
    Unknown,
    /// The answer to [`Step::Ask`].
    Asked {
        /// The member wrote.
        wrote: bool,
        /// The end of the member may fail.
        serializable: bool,
    },
    /// The answer to [`Step::Resolve`].
    Outcome(Outcome),
}

/// The next action of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A round of steps.
    Run(Vec<(usize, Step)>),
    /// The end of the commit.
    Done(Conclusion),
}

/// The reason why a unit rolls back before its decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// A step of this member failed.
    Because(usize),
    /// Two writers cannot prepare.
    NotAtomic { first: usize, second: usize },
}

/// The end of a commit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Conclusion {
    /// The unit is kept everywhere; on pending members after recovery.
    Committed {
        /// The members that recovery will commit.
        pending: Vec<usize>,
    },
    /// The unit is kept nowhere.
    RolledBack {
        /// The member that prevented the commit.
        because: usize,
        /// The members that recovery will roll back.
        pending: Vec<usize>,
    },
    /// Two writers cannot prepare. The unit is kept nowhere.
    NotAtomic { first: usize, second: usize },
    /// The reply of the only writer was lost.
    Unknown { writer: usize },
    /// The holder cannot be asked.
    InDoubt { holder: usize },
}
