//! The state of a run.

use std::rc::Rc;

use crate::commit::Outcome;
use crate::commit::proof::{Protocol, Reply, Step, Undone};

/// One state of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) stores: Vec<Store>,
    pub(super) coordinator: Coordinator,
    pub(super) tasks: Vec<Task>,
    /// The holder in the names of the branches.
    pub(super) holder: Option<usize>,
    /// The last answer to a question for the outcome.
    pub(super) said: Option<Outcome>,
    /// The number of faults that may still happen.
    pub(super) faults: u8,
    /// The rule that a step has broken.
    pub(super) offence: Option<&'static str>,
}

/// One database, and the unit's transaction in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) up: bool,
    pub(super) address: Address,
    /// The address has changed during a question.
    pub(super) moved: bool,
    pub(super) work: Work,
    /// The connection that the unit works on.
    pub(super) connection: Connection,
    /// The step that was sent on the connection and has not arrived.
    pub(super) wire: Option<Step>,
    /// The committed row of the unit in `diesel_binds_decision`.
    pub(super) row: Option<Row>,
    /// Units as old as this one are forgotten here.
    pub(super) horizon: bool,
    /// The branch has its row in `diesel_binds_branch` (MariaDB).
    pub(super) placed: bool,
    /// The number of parts in the name of the branch.
    pub(super) parts: u16,
    /// The transaction was prepared at some time.
    pub(super) was_prepared: bool,
    /// The outcome that an operator has recorded in `diesel_binds_forced`.
    pub(super) forced: Option<Outcome>,
    /// The database never comes back.
    pub(super) lost: bool,
    /// The result of the end of the transaction, as far as the coordinator has received it.
    pub(super) undone: Undone,
    /// The application has committed the work of the unit here before the commit.
    pub(super) kept_apart: bool,
}

/// The target of a database's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Itself,
    /// Another database, which has its own id and nothing of the unit.
    Other,
    /// A server that was copied from this one and promoted before the unit (PostgreSQL). It has the same id, another
    /// lineage, and nothing of the unit.
    Older,
}

/// The progress of a question that compares its database before and after.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Part {
    Before,
    Within,
    After,
}

/// The row of a unit at its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Row {
    Commit,
    Abort,
    /// An operator has decided.
    Forced,
}

/// The state of the unit's transaction in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Open,
    /// An error aborted the transaction, or the application rolled it back: the connection is open, with nothing to
    /// keep.
    Ended,
    /// The decision is inserted and not committed.
    Deciding,
    Prepared,
    Committed,
    RolledBack,
    /// The branch is neither listed nor finished, and keeps its locks (MariaDB).
    Stuck,
}

/// The connection of the coordinator, as its server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Connection {
    Live,
    /// The client has closed it, and the server has not noticed: a message in flight may still arrive.
    Closing,
    /// The server is closing it.
    Leaving,
    Closed,
}

/// The process that commits the unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coordinator {
    Running(Rc<Running>),
    Done(CommitReport),
    Dead,
}

/// A round of the protocol in progress.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) protocol: Protocol,
    pub(super) steps: Vec<(usize, Step, Progress)>,
    /// The members whose prepares were confirmed.
    pub(super) confirmed: Vec<usize>,
}

/// The progress of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Progress {
    Sent,
    /// On another connection, the holder is asked.
    Asking(Ask),
    /// On another connection, the fate of a lone commit is asked (PostgreSQL).
    AskingFate,
    /// On another connection, the database is compared before the branch is looked for.
    Looking,
    /// The database was compared, and the branch is looked for.
    Listing,
    /// The branch was listed, and is finished.
    Finishing,
    /// The branch is finished or not listed, and the database is compared again.
    Comparing,
    Replied(Reply),
}

/// The progress of a question to the holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// The database is compared, and its row is read.
    Look,
    /// The fence is inserted.
    Insert,
    /// The row that exists now is read: the fence or an earlier one.
    Read,
}

/// The result for the application.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum CommitReport {
    Committed {
        pending: Vec<usize>,
    },
    RolledBack {
        pending: Vec<usize>,
    },
    /// The unit was rolled back, but not all databases confirm that nothing is kept.
    Ended {
        pending: Vec<usize>,
    },
    Unknown,
    InDoubt,
}

/// The task of a process that recovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Task {
    Idle,
    /// Asks the holder about a branch, or for a caller of `Recovery::resolve`.
    Asking {
        on: Option<usize>,
        holder: usize,
        ask: Ask,
    },
    Finishing {
        on: usize,
        outcome: Outcome,
        part: Part,
    },
    /// Has read the record of a commit, and looks whether its participants have finished.
    Forgetting {
        holder: usize,
        part: Part,
    },
    /// Deletes the record, after all participants have finished.
    Deleting {
        holder: usize,
    },
    /// Carries out the force of an operator.
    Forcing(Force),
}

/// The progress of an operator that finishes a unit in the place of its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Force {
    pub(super) outcome: Outcome,
    pub(super) step: ForceStep,
    /// The holder answers, and has forgotten the unit.
    pub(super) forgetful: bool,
    /// The databases whose branches were listed, a bit for each.
    pub(super) listed: u8,
    /// The outcome is recorded as forced on some database.
    pub(super) was_forced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ForceStep {
    AskHolder,
    /// The index of the bind to list.
    Look(usize),
    GiveOver,
    Record(usize, Part),
    Finish(usize),
}

impl ForceStep {
    fn rank(self) -> (u8, usize) {
        match self {
            Self::AskHolder => (0, 0),
            Self::Look(at) => (1, at),
            Self::GiveOver => (2, 0),
            Self::Record(at, part) => (10 + part as u8, at),
            Self::Finish(at) => (4, at),
        }
    }
}

impl Task {
    /// Returns a number to sort by, in any order.
    pub(super) fn rank(self) -> (u8, usize, usize, u8) {
        match self {
            Self::Idle => (0, 0, 0, 0),
            Self::Asking { on, holder, ask } => (1, on.map_or(0, |on| on + 1), holder, ask as u8),
            Self::Finishing { on, outcome, part } => (2, on, part as usize, outcome as u8),
            Self::Forgetting { holder, part } => (3, part as usize, holder, 0),
            Self::Deleting { holder } => (4, 0, holder, 0),
            Self::Forcing(force) => {
                let (step, at) = force.step.rank();
                (5, at, usize::from(force.listed), step)
            }
        }
    }
}

impl Store {
    /// Returns whether a new connection reaches the database itself.
    pub(super) fn reached(&self) -> bool {
        self.up && self.address == Address::Itself
    }

    /// Closes the connection on the side of the client.
    pub(super) fn let_go(&mut self) {
        if self.connection == Connection::Live {
            self.connection = Connection::Closing;
        }
    }

    /// Closes the connection on the side of the server, and rolls back an unprepared transaction.
    pub(super) fn close(&mut self) {
        self.connection = Connection::Closed;
        self.wire = None;
        if matches!(self.work, Work::Open | Work::Ended | Work::Deciding) {
            self.work = Work::RolledBack;
        }
    }
}
