//! The words of the protocol: the members, the commands to them and the replies.

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

/// A command to a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Command {
    /// Asks whether the member wrote.
    Ask,
    /// Asks for the id of the database.
    Identify,
    /// Prepares the transaction.
    Prepare,
    /// Commits a transaction that only read.
    EndReader,
    /// Commits the only writer.
    CommitAlone,
    /// Commits together with the decision.
    Decide,
    /// Rolls back an unprepared transaction.
    RollBack,
    /// Reads the outcome, and writes a fence if there is none.
    Resolve,
    /// Commits a prepared branch.
    Apply,
    /// Rolls back a branch that was prepared, or may have been.
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

/// The reply to a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// The command was carried out.
    Done,
    /// The command was not carried out, or its result is not known.
    Failed,
    /// The result of a lone commit is not known.
    Unknown,
    /// The answer to [`Command::Ask`].
    Asked {
        /// The member wrote.
        wrote: bool,
        /// The end of the member may fail.
        serializable: bool,
    },
    /// The answer to [`Command::Resolve`].
    Outcome(Outcome),
}

/// The next action of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// A round of commands.
    Run(Vec<(usize, Command)>),
    /// The end of the commit.
    Done(Conclusion),
}

/// The end of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    NotAtomic {
        /// The first writer.
        first: usize,
        /// The second writer.
        second: usize,
    },
    /// The reply of the only writer was lost.
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
