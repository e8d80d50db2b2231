//! The reactions of a database to a message, to a question on another connection, and to a crash.

use super::model::Model;
use super::mutant::Mutation;
use super::state::{Address, Ask, Connection, Row, Store, Work};
use super::topology::Kind;
use crate::commit::Outcome;
use crate::commit::proof::{Reply, Step};

/// The result of a message.
pub(super) enum Executed {
    /// The server is still carrying the message out.
    Half,
    /// The server has replied.
    Reply(Reply),
}

/// The result of one step of a question.
pub(super) enum Answered {
    /// A decision has not arrived yet: the fence waits.
    Blocked,
    /// There is no answer, and none will come.
    Failed,
    Next(Ask),
    Outcome(Outcome),
}

/// The result of an attempt to finish a branch of another connection.
pub(super) enum Finished {
    Done,
    /// The branch's connection was open, and was killed.
    Killed,
    /// The branch's connection is closing.
    Wait,
    /// The branch is gone (PostgreSQL).
    NotThere,
}

impl Model {
    /// Carries out a step that has arrived on the connection of the unit.
    pub(super) fn execute(&self, index: usize, store: &mut Store, step: Step) -> Executed {
        let database = &self.topology.databases[index];
        let reply = match (step, store.work) {
            (Step::Identify, _) => Reply::Done,
            (Step::Ask, _) => Reply::Asked {
                wrote: database.wrote && !self.is(Mutation::ReaderNotAsked),
                serializable: database.serializable && !self.is(Mutation::SerializableReaderLate),
            },
            (Step::Prepare, Work::Open) => {
                store.work = Work::Prepared;
                store.was_prepared = true;
                store.placed = database.kind == Kind::MariaDb;
                Reply::Done
            }
            (Step::Prepare, Work::Ended) if self.is(Mutation::NoMarkerAtPrepare) => Reply::Done,
            (Step::Decide, Work::Open | Work::Ended) => {
                let unmarked = store.work == Work::Ended;
                let forgotten = store.horizon && !self.topology.old_snapshots;
                let is_fenced = matches!(store.row, Some(Row::Abort | Row::Forced));
                let refused = forgotten || is_fenced && !self.is(Mutation::DecisionIgnoresFence);
                if refused || (unmarked && !self.is(Mutation::NoMarkerAtDecision)) {
                    store.work = Work::Ended;
                    Reply::Failed
                } else if unmarked {
                    store.row = Some(Row::Commit);
                    Reply::Done
                } else {
                    if self.is(Mutation::DecisionApart) {
                        store.row = Some(Row::Commit);
                    }
                    store.work = Work::Deciding;
                    return Executed::Half;
                }
            }
            (Step::Decide, Work::Deciding) => {
                store.work = Work::Committed;
                store.row = Some(Row::Commit);
                Reply::Done
            }
            (Step::End | Step::Commit, Work::Open) => {
                store.work = Work::Committed;
                Reply::Done
            }
            (Step::End | Step::Commit, Work::Ended) => {
                store.work = Work::RolledBack;
                Reply::Failed
            }
            (Step::Undo, Work::Prepared)
            | (Step::Undo | Step::RollBack, Work::Open | Work::Ended) => {
                store.work = Work::RolledBack;
                Reply::Done
            }
            // The transaction ends with its connection, if not before.
            (Step::RollBack, _) => Reply::Done,
            (Step::Apply, Work::Prepared) => {
                store.work = Work::Committed;
                Reply::Done
            }
            _ => Reply::Failed,
        };
        Executed::Reply(reply)
    }

    /// Takes one step of the resolve (read the outcome, write a fence if there is none), on a new connection. `same`
    /// says whether the name of the branch has the id of this database.
    pub(super) fn answer(&self, store: &mut Store, ask: Ask, same: bool) -> Answered {
        let is_believed = match store.address {
            Address::Itself => same,
            Address::Other => false,
            Address::Older => same && self.is(Mutation::HolderLineageIgnored),
        };
        if !store.up || !(is_believed || self.is(Mutation::HolderIdIgnored)) {
            return Answered::Failed;
        }
        if store.address != Address::Itself {
            // Another database, which has no record of the unit, and now keeps a decision out of itself.
            return Answered::Outcome(Outcome::RolledBack);
        }
        let forgotten = store.row.is_none() && store.horizon && !self.is(Mutation::HorizonIgnored);
        match (ask, store.row) {
            _ if forgotten => Answered::Failed,
            (Ask::Look | Ask::Read, Some(Row::Commit)) => Answered::Outcome(Outcome::Committed),
            (Ask::Look | Ask::Read, Some(Row::Abort)) => Answered::Outcome(Outcome::RolledBack),
            (Ask::Look | Ask::Read, Some(Row::Forced)) => match self.mutation {
                Some(Mutation::ForcedIsAbort) => Answered::Outcome(Outcome::RolledBack),
                Some(Mutation::ForcedIsCommit) => Answered::Outcome(Outcome::Committed),
                _ => Answered::Failed,
            },
            (Ask::Look, None) if self.is(Mutation::NoFence) => {
                Answered::Outcome(Outcome::RolledBack)
            }
            (Ask::Look, None) => Answered::Next(Ask::Insert),
            (Ask::Insert, _) if store.work == Work::Deciding => Answered::Blocked,
            // The row did not exist when the transaction of the question began to read.
            (Ask::Insert, Some(_)) if self.is(Mutation::OldSnapshot) => {
                Answered::Outcome(Outcome::RolledBack)
            }
            (Ask::Insert, Some(_)) if !self.is(Mutation::FenceOverwrites) => {
                Answered::Next(Ask::Read)
            }
            (Ask::Insert, _) => {
                store.row = Some(Row::Abort);
                Answered::Next(Ask::Read)
            }
            (Ask::Read, None) => Answered::Failed,
        }
    }

    /// Finishes a listed branch on a new connection.
    pub(super) fn finish(&self, index: usize, store: &mut Store, outcome: Outcome) -> Finished {
        let finished = match outcome {
            Outcome::Committed => Work::Committed,
            Outcome::RolledBack => Work::RolledBack,
        };
        let maria_db = self.topology.databases[index].kind == Kind::MariaDb;
        match (store.work, store.connection) {
            (Work::Prepared, Connection::Live | Connection::Closing) if maria_db => {
                if self.is(Mutation::UnknownXidIsDone) {
                    return Finished::Done;
                }
                store.connection = Connection::Leaving;
                store.wire = None;
                Finished::Killed
            }
            (Work::Prepared, Connection::Leaving) if maria_db => {
                if self.is(Mutation::NoWaitAfterKill) {
                    store.work = Work::Stuck;
                    return Finished::Done;
                }
                Finished::Wait
            }
            (Work::Prepared, _) => {
                store.work = finished;
                Finished::Done
            }
            // The id is unknown, and not listed any more.
            _ if maria_db => Finished::Done,
            _ => Finished::NotThere,
        }
    }

    /// Kills the server (SIGKILL). Prepared and committed work is kept.
    pub(super) fn crash(&self, store: &mut Store) {
        store.up = false;
        store.close();
        if self.is(Mutation::DecisionNotDurable) && store.row == Some(Row::Commit) {
            store.row = None;
            store.work = Work::RolledBack;
        }
    }

    /// Lets the server notice that its client is gone. Returns whether anything changed.
    pub(super) fn notice(&self, index: usize, store: &mut Store) -> bool {
        let keeps_branch =
            self.topology.databases[index].kind == Kind::MariaDb && store.work == Work::Prepared;
        match store.connection {
            Connection::Closing if keeps_branch => {
                store.connection = Connection::Leaving;
                store.wire = None;
            }
            Connection::Closing | Connection::Leaving => store.close(),
            Connection::Live | Connection::Closed => return false,
        }
        true
    }
}
