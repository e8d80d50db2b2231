//! Everything that a run can differ in.

use std::rc::Rc;

use crate::commit::Outcome;
use crate::commit::proof::{Command, Protocol, Reply};

/// One moment of a run.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) stores: Vec<Store>,
    pub(super) coordinator: Coordinator,
    pub(super) tasks: Vec<Task>,
    /// The holder that stands in the names of the branches.
    pub(super) holder: Option<usize>,
    /// What was answered to somebody who asked for the outcome.
    pub(super) said: Option<Outcome>,
    /// How many things may still go wrong.
    pub(super) faults: u8,
    /// What a step did that nobody may do.
    pub(super) offence: Option<&'static str>,
}

/// One database, and the unit's transaction in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Store {
    pub(super) up: bool,
    /// The address leads to another database for now: a copy without our rows, with an id of its own.
    pub(super) stand_in: bool,
    pub(super) work: Work,
    /// The connection that the unit works on.
    pub(super) connection: Connection,
    /// What was sent on it and has not arrived.
    pub(super) wire: Option<Command>,
    /// The committed row of the unit in `diesel_binds_decision`.
    pub(super) row: Option<Outcome>,
    /// Units as old as this one are not known here any more.
    pub(super) horizon: bool,
    /// The branch has its row in `diesel_binds_branch` (MariaDB).
    pub(super) placed: bool,
}

/// What became of what the unit did in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Work {
    Open,
    /// An error aborted it, or the application rolled it back: there is a connection, and nothing to keep.
    Ended,
    /// The decision is inserted and not committed.
    Deciding,
    Prepared,
    Committed,
    RolledBack,
    /// Neither listed nor finished, and its locks stay (MariaDB).
    Stuck,
}

/// The connection of the coordinator, as its server sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Connection {
    Live,
    /// The client let go of it, and the server has not seen that: what is on the wire may still arrive.
    Closing,
    /// The server takes it down.
    Leaving,
    Closed,
}

/// The process whose unit it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coordinator {
    Running(Rc<Running>),
    Done(Told),
    Dead,
}

/// In the middle of a round.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Running {
    pub(super) protocol: Protocol,
    pub(super) steps: Vec<(usize, Command, Step)>,
    /// Whose prepare was confirmed.
    pub(super) confirmed: Vec<usize>,
}

/// How far a command is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    Sent,
    /// On another connection: the holder is asked.
    Asking(Ask),
    /// On another connection: the branch is looked for.
    Looking,
    /// On another connection: the branch was listed.
    Finishing,
    Replied(Reply),
}

/// How far a question to the holder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    /// Is it the holder, and has it a row?
    Look,
    /// The fence is on its way.
    Insert,
    /// The fence stands, or what was there before it.
    Read,
}

/// What the application got to hear.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Told {
    Committed { pending: Vec<usize> },
    RolledBack { pending: Vec<usize> },
    Unknown,
    InDoubt,
}

/// What a process that recovers is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Task {
    Idle,
    /// Asks for the sake of a branch, or of a caller of `settle`.
    Asking {
        on: Option<usize>,
        holder: usize,
        ask: Ask,
    },
    Finishing {
        on: usize,
        outcome: Outcome,
    },
    /// Has read that the unit committed, and looks whether its participants are through.
    Forgetting {
        holder: usize,
    },
    /// Has seen that they are.
    Deleting {
        holder: usize,
    },
}

impl Task {
    /// Any order.
    pub(super) fn rank(self) -> (u8, usize, usize, u8) {
        match self {
            Self::Idle => (0, 0, 0, 0),
            Self::Asking { on, holder, ask } => (1, on.map_or(0, |on| on + 1), holder, ask as u8),
            Self::Finishing { on, outcome } => (2, on, 0, outcome as u8),
            Self::Forgetting { holder } => (3, 0, holder, 0),
            Self::Deleting { holder } => (4, 0, holder, 0),
        }
    }
}

impl Store {
    /// Whether a new connection reaches the database itself.
    pub(super) fn reached(&self) -> bool {
        self.up && !self.stand_in
    }

    /// The client lets go.
    pub(super) fn let_go(&mut self) {
        if self.connection == Connection::Live {
            self.connection = Connection::Closing;
        }
    }

    /// Nothing of the connection is left; what was not prepared is rolled back.
    pub(super) fn close(&mut self) {
        self.connection = Connection::Closed;
        self.wire = None;
        if matches!(self.work, Work::Open | Work::Ended | Work::Deciding) {
            self.work = Work::RolledBack;
        }
    }
}
