//! Everything that a run can differ in.

use std::rc::Rc;

use crate::commit::Outcome;
use crate::commit::proof::{Command, Protocol, Reply, Undone};

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
    pub(super) address: Address,
    /// It has changed while a question was under way here.
    pub(super) moved: bool,
    pub(super) work: Work,
    /// The connection that the unit works on.
    pub(super) connection: Connection,
    /// What was sent on it and has not arrived.
    pub(super) wire: Option<Command>,
    /// The committed row of the unit in `diesel_binds_decision`.
    pub(super) row: Option<Row>,
    /// Units as old as this one are not known here any more.
    pub(super) horizon: bool,
    /// The branch has its row in `diesel_binds_branch` (MariaDB).
    pub(super) placed: bool,
    /// The branch is one of so many, as it says itself.
    pub(super) parts: u16,
    /// There was a branch.
    pub(super) was_prepared: bool,
    /// What an operator has recorded in `diesel_binds_forced`.
    pub(super) forced: Option<Outcome>,
    /// It never comes back.
    pub(super) lost: bool,
    /// What the coordinator knows of what the end of the transaction has left.
    pub(super) undone: Undone,
    /// The application has committed what the unit did here until then.
    pub(super) kept_apart: bool,
}

/// Where the address of a database leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Itself,
    /// To another database, which has an id of its own and nothing of the unit.
    Other,
    /// To a server that comes from it and was promoted before the unit (PostgreSQL): the same id, another lineage, and
    /// nothing of the unit.
    Older,
}

/// How far a question is whose database is compared before and after.
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
    /// On another connection: the fate of a lone commit is asked (PostgreSQL).
    AskingFate,
    /// On another connection, to a database that was not compared yet: the branch is looked for.
    Looking,
    /// It was compared.
    Listing,
    /// The branch was listed.
    Finishing,
    /// The branch is finished, or not listed: the database is compared again.
    Comparing,
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
    Committed {
        pending: Vec<usize>,
    },
    RolledBack {
        pending: Vec<usize>,
    },
    /// The same, where not all databases confirm that nothing is kept.
    Ended {
        pending: Vec<usize>,
    },
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
        part: Part,
    },
    /// Has read that the unit committed, and looks whether its participants are through.
    Forgetting {
        holder: usize,
        part: Part,
    },
    /// Has seen that they are.
    Deleting {
        holder: usize,
    },
    /// Does what an operator says.
    Forcing(Force),
}

/// How far an operator is, who finishes a unit in the place of its holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Force {
    pub(super) outcome: Outcome,
    pub(super) step: ForceStep,
    /// The holder is there, and has forgotten the unit.
    pub(super) forgetful: bool,
    /// The branches that were listed, a bit for each.
    pub(super) listed: u8,
    /// The outcome is recorded somewhere.
    pub(super) was_forced: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ForceStep {
    AskHolder,
    /// At one bind of the process after the other.
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
    /// Any order.
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
    /// Whether a new connection reaches the database itself.
    pub(super) fn reached(&self) -> bool {
        self.up && self.address == Address::Itself
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
