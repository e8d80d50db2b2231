//! The words of the protocol: what a member is, what it is told to do, and what came of it.

use std::fmt;

/// How a unit ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// All of it is kept.
    Committed,
    /// None of it is kept.
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

/// What one participant can do, and what it did as far as its statements tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Member {
    /// It wrote, or may have.
    pub(crate) writer: bool,
    /// Its server can tell whether it wrote, and has not been asked.
    pub(crate) askable: bool,
    /// The id of its database is known.
    pub(crate) identified: bool,
    /// It can prepare.
    pub(crate) can_prepare: bool,
    /// How much it wants to be the holder; the largest is chosen.
    pub(crate) holder_rank: i8,
    /// A decision row is wanted even when it is the only writer.
    pub(crate) records: bool,
}

/// What a member is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    /// Tell whether it wrote.
    Ask,
    /// Tell the id of its database.
    Identify,
    /// Prepare.
    Prepare,
    /// Commit what was only read.
    EndReader,
    /// Commit as the only writer.
    CommitAlone,
    /// Commit together with the decision.
    Decide,
    /// Roll back what was not prepared.
    RollBack,
    /// Keep a late decision out, and tell the outcome.
    Resolve,
    /// Commit what was prepared.
    Apply,
    /// Roll back what was prepared, or may have been.
    Undo,
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ask => "ask",
            Self::Identify => "identify",
            Self::Prepare => "prepare",
            Self::EndReader => "end",
            Self::CommitAlone => "commit",
            Self::Decide => "decide",
            Self::RollBack => "roll-back",
            Self::Resolve => "resolve",
            Self::Apply => "apply",
            Self::Undo => "undo",
        })
    }
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// It is done.
    Done,
    /// It is not done, or nobody knows.
    Failed,
    /// A lone commit of which nobody knows.
    Lost,
    /// The answer to [`Command::Ask`].
    Asked {
        /// It wrote.
        wrote: bool,
        /// Its end may fail.
        serializable: bool,
    },
    /// The answer to [`Command::Resolve`].
    Outcome(Outcome),
}

/// What follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A round of commands.
    Run(Vec<(usize, Command)>),
    /// The end.
    Done(Conclusion),
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conclusion {
    /// Kept everywhere, or in a moment.
    Committed {
        /// Members that recovery will bring up.
        pending: Vec<usize>,
    },
    /// Kept nowhere.
    RolledBack {
        /// The member that was in the way.
        because: usize,
        /// Members that recovery will roll back.
        pending: Vec<usize>,
    },
    /// Two writers cannot prepare. Kept nowhere.
    NotAtomic {
        /// The first.
        first: usize,
        /// The second.
        second: usize,
    },
    /// The only writer did not answer.
    Unknown {
        /// The writer.
        writer: usize,
    },
    /// The holder cannot be asked.
    InDoubt {
        /// The holder.
        holder: usize,
    },
}
