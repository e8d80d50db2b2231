//! The process that commits: the real protocol, and participants that carry out its steps.

use std::rc::Rc;

use super::database::{Answered, Executed, Finished};
use super::model::{Event, Model};
use super::mutant::Mutation;
use super::state::{
    Address, Ask, CommitReport, Connection, Coordinator, Progress, State, Store, Work,
};
use super::topology::Kind;
use crate::commit::Outcome;
use crate::commit::proof::{Conclusion, Next, Reply, Step, Undone};

impl Model {
    pub(super) fn of_coordinator(&self, state: &State, events: &mut Vec<Event>) {
        self.of_wires(state, events);
        let Coordinator::Running(running) = &state.coordinator else {
            return;
        };
        if state.faults > 0 {
            events.push(self.death(state));
        }
        for (position, (index, step, progress)) in running.steps.iter().enumerate() {
            let mut next = state.clone();
            let store = &state.stores[*index];
            let (what, progress, heals) = match progress {
                Progress::Sent | Progress::Replied(_) => continue,
                Progress::AskingFate => {
                    for (fate, heals) in self.fates(store) {
                        let mut next = state.clone();
                        self.note_progress(&mut next, position, Progress::Replied(fate));
                        events.push(Event {
                            what: ("asks for the fate of a commit", *index),
                            state: next,
                            heals,
                        });
                    }
                    continue;
                }
                Progress::Asking(ask) => {
                    match self.ask_as_coordinator(&mut next, *index, *ask) {
                        Some((progress, heals)) => ("asks the holder", progress, heals),
                        // The fence waits beyond the time limit of the question.
                        None => ("asks in vain", Progress::Replied(Reply::Failed), false),
                    }
                }
                Progress::Looking
                | Progress::Listing
                | Progress::Finishing
                | Progress::Comparing
                    if !store.up =>
                {
                    ("cannot finish", Progress::Replied(Reply::Failed), true)
                }
                Progress::Looking if !self.is_same(store, Mutation::FinishNotComparedBefore) => (
                    "meets another database",
                    Progress::Replied(Reply::Failed),
                    true,
                ),
                Progress::Looking if !self.stays(state, *index) => {
                    ("compares the database", Progress::Listing, true)
                }
                Progress::Looking | Progress::Listing => {
                    let is_itself = store.address == Address::Itself;
                    let listed = is_itself && store.work == Work::Prepared;
                    // A branch that is not listed now may be listed later, if its prepare has not arrived.
                    let late = *step == Step::Undo
                        && !running.confirmed.contains(index)
                        && !self.is(Mutation::LatePrepareForgotten);
                    let progress = match (listed, late) {
                        (true, _) => Progress::Finishing,
                        (false, true) => Progress::Replied(Reply::Failed),
                        // A list from the database itself is true, whatever its address leads to afterwards.
                        (false, false) if is_itself => Progress::Replied(Reply::Done),
                        (false, false) => Progress::Comparing,
                    };
                    ("looks for the branch", progress, true)
                }
                Progress::Finishing if store.address != Address::Itself => {
                    ("finds the branch gone", Progress::Comparing, true)
                }
                Progress::Comparing => {
                    let reply = match self.is_same(store, Mutation::FinishNotComparedAfter) {
                        true => Reply::Done,
                        false => Reply::Failed,
                    };
                    (
                        "compares the database again",
                        Progress::Replied(reply),
                        true,
                    )
                }
                Progress::Finishing => {
                    let outcome = match step {
                        Step::Apply => Outcome::Committed,
                        _ => Outcome::RolledBack,
                    };
                    let progress = match self.finish(*index, &mut next.stores[*index], outcome) {
                        Finished::Done => Progress::Replied(Reply::Done),
                        Finished::Killed => Progress::Finishing,
                        Finished::Wait => continue,
                        Finished::NotThere => Progress::Replied(Reply::Failed),
                    };
                    ("finishes a branch", progress, true)
                }
            };
            self.note_progress(&mut next, position, progress);
            events.push(Event {
                what: (what, *index),
                state: next,
                heals,
            });
        }
    }

    /// Adds the events of messages in flight: they arrive, or are lost.
    fn of_wires(&self, state: &State, events: &mut Vec<Event>) {
        for (index, store) in state.stores.iter().enumerate() {
            let waiting = self.waiting(state, index);
            if let Some((position, step)) = waiting {
                let mut lost = state.clone();
                lost.stores[index].let_go();
                self.note_progress(&mut lost, position, self.no_reply(index, step));
                if store.connection != Connection::Live {
                    events.push(Event {
                        what: ("loses its connection", index),
                        state: lost,
                        heals: true,
                    });
                } else if state.faults > 0 {
                    lost.faults -= 1;
                    events.push(Event {
                        what: ("does not wait", index),
                        state: lost,
                        heals: false,
                    });
                }
            }
            let Some(step) = store.wire.filter(|_| store.up) else {
                continue;
            };
            let mut next = state.clone();
            let executed = self.execute(index, &mut next.stores[index], step);
            if let (Executed::Reply(reply), true) = (executed, store.up) {
                next.stores[index].wire = None;
                if let (Some((position, _)), Connection::Live) = (waiting, store.connection) {
                    if state.faults > 0 {
                        let mut lost = next.clone();
                        lost.faults -= 1;
                        lost.stores[index].let_go();
                        self.note_progress(&mut lost, position, self.no_reply(index, step));
                        events.push(Event {
                            what: ("replies in vain", index),
                            state: lost,
                            heals: false,
                        });
                    }
                    let store = &mut next.stores[index];
                    if store.kept_apart && (reply == Reply::Failed || step == Step::RollBack) {
                        store.undone = Undone::Ended;
                    }
                    self.note_progress(&mut next, position, read(step, reply));
                }
            }
            events.push(Event {
                what: ("takes a message", index),
                state: next,
                heals: true,
            });
            if state.faults > 0
                && may_be_refused(self.topology.databases[index].serializable, step)
                && store.work == Work::Open
            {
                let mut refused = state.clone();
                refused.faults -= 1;
                refused.stores[index].work = Work::Ended;
                events.push(Event {
                    what: ("refuses a transaction", index),
                    state: refused,
                    heals: false,
                });
            }
        }
    }

    /// Returns the step whose reply the coordinator waits for.
    fn waiting(&self, state: &State, index: usize) -> Option<(usize, Step)> {
        let Coordinator::Running(running) = &state.coordinator else {
            return None;
        };
        running
            .steps
            .iter()
            .position(|(at, _, progress)| *at == index && *progress == Progress::Sent)
            .map(|position| (position, running.steps[position].1))
    }

    /// Returns the possible answers about a lone commit without a reply, and whether each comes without a fault.
    fn fates(&self, store: &Store) -> Vec<(Reply, bool)> {
        let unknown = (Reply::Unknown, true);
        match (store.up, store.address, store.work) {
            (true, Address::Itself, Work::Committed) => vec![(Reply::Done, true)],
            (true, Address::Itself, Work::RolledBack) => vec![(Reply::Failed, true)],
            // The commit has not arrived yet, and the time limit of the question may end first.
            (true, Address::Itself, _) => vec![(Reply::Unknown, false)],
            // On that server, another transaction has the id.
            (true, ..) if self.is_same(store, Mutation::FateOfAnother) => {
                vec![(Reply::Done, true), (Reply::Failed, true)]
            }
            _ => vec![unknown],
        }
    }

    fn ask_as_coordinator(
        &self,
        next: &mut State,
        index: usize,
        ask: Ask,
    ) -> Option<(Progress, bool)> {
        if self.is(Mutation::LostDecisionIsAbort) {
            return Some((Progress::Replied(Reply::Outcome(Outcome::RolledBack)), true));
        }
        if self.is(Mutation::LostDecisionIsCommit) {
            return Some((Progress::Replied(Reply::Outcome(Outcome::Committed)), true));
        }
        Some(match self.answer(&mut next.stores[index], ask, true) {
            Answered::Blocked => return None,
            Answered::Failed => (Progress::Replied(Reply::Failed), true),
            Answered::Next(ask) => (Progress::Asking(ask), true),
            Answered::Outcome(outcome) => {
                self.say(next, outcome);
                (Progress::Replied(Reply::Outcome(outcome)), true)
            }
        })
    }

    /// Notes an answer about the outcome of the unit.
    pub(super) fn say(&self, state: &mut State, outcome: Outcome) {
        if state.said.is_some_and(|said| said != outcome) {
            state.offence = Some("two processes that ask for the outcome get the same");
        }
        state.said = Some(outcome);
    }

    /// Kills the process (SIGKILL).
    fn death(&self, state: &State) -> Event {
        let mut next = state.clone();
        next.faults -= 1;
        next.coordinator = Coordinator::Dead;
        for (index, store) in next.stores.iter_mut().enumerate() {
            store.let_go();
            if self.topology.databases[index].kind == Kind::Sqlite {
                store.close();
            }
        }
        Event {
            what: ("the coordinator dies", 0),
            state: next,
            heals: false,
        }
    }

    /// Notes the progress of a step. The protocol continues when all members have replied.
    fn note_progress(&self, state: &mut State, position: usize, progress: Progress) {
        let Coordinator::Running(running) = &mut state.coordinator else {
            return;
        };
        let running = Rc::make_mut(running);
        let (index, step, before) = &mut running.steps[position];
        *before = progress;
        if (*step, progress) == (Step::Prepare, Progress::Replied(Reply::Done)) {
            running.confirmed.push(*index);
            running.confirmed.sort_unstable();
        }
        if matches!(progress, Progress::Looking) {
            state.stores[*index].let_go();
        }
        if running
            .steps
            .iter()
            .all(|(_, _, progress)| matches!(progress, Progress::Replied(_)))
        {
            self.advance(state);
        }
    }

    /// Gets the next round from the protocol, and sends it.
    pub(super) fn advance(&self, state: &mut State) {
        let Coordinator::Running(running) = &mut state.coordinator else {
            return;
        };
        let running = Rc::make_mut(running);
        let replies: Vec<_> = running
            .steps
            .iter()
            .filter_map(|(index, step, progress)| match progress {
                Progress::Replied(reply) => Some((*index, *step, self.misread(*step, *reply))),
                _ => None,
            })
            .collect();
        match running.protocol.next(&replies) {
            Next::Done(conclusion) => {
                state.coordinator = Coordinator::Done(self.report(conclusion, &state.stores));
                for store in &mut state.stores {
                    store.let_go();
                }
            }
            Next::Run(round) => {
                if let Some(holder) = running.protocol.holder() {
                    state.holder = Some(holder);
                }
                let known = running.protocol.writers().count().saturating_sub(1);
                let parts = match self.is(Mutation::LateWritersNotCounted) {
                    true => u16::try_from(known).expect("a few"),
                    false => running.protocol.most_branches(),
                };
                running.steps = round
                    .into_iter()
                    .map(|(index, step)| {
                        let store = &mut state.stores[index];
                        if step == Step::Prepare {
                            store.parts = parts;
                        }
                        let progress = match (step, store.connection) {
                            (Step::Resolve, _) => Progress::Asking(Ask::Look),
                            (_, Connection::Live) => {
                                store.wire = Some(step);
                                Progress::Sent
                            }
                            // Without a live connection, no reply will come. The protocol continues below, after the
                            // whole round was sent.
                            _ => self.no_reply(index, step),
                        };
                        (index, step, progress)
                    })
                    .collect();
                if running
                    .steps
                    .iter()
                    .all(|(_, _, progress)| matches!(progress, Progress::Replied(_)))
                {
                    self.advance(state);
                }
            }
        }
    }

    /// Returns the progress of a participant that can no longer wait for a reply.
    fn no_reply(&self, index: usize, step: Step) -> Progress {
        let kind = self.topology.databases[index].kind;
        match step {
            Step::Apply | Step::Undo => Progress::Looking,
            Step::Commit if kind == Kind::Postgres => Progress::AskingFate,
            Step::Commit | Step::End => Progress::Replied(Reply::Unknown),
            Step::RollBack => Progress::Replied(Reply::Done),
            _ => Progress::Replied(Reply::Failed),
        }
    }

    /// Returns the result for the application. Only each database itself can confirm that nothing is kept.
    fn report(&self, conclusion: Conclusion, stores: &[Store]) -> CommitReport {
        let believed = |(index, store): (usize, &Store)| match store.undone {
            _ if self.is(Mutation::OnlyFirstAsked) && index > 0 => Undone::NothingKept,
            Undone::Ended if self.is(Mutation::EndedIsNothing) => Undone::NothingKept,
            Undone::Unconfirmed if self.is(Mutation::UnconfirmedIsNothing) => Undone::NothingKept,
            undone => undone,
        };
        let mut undone = stores.iter().enumerate().map(believed);
        let pending = match conclusion {
            Conclusion::Committed { pending } => return CommitReport::Committed { pending },
            Conclusion::Unknown { .. } => return CommitReport::Unknown,
            Conclusion::InDoubt { .. } => return CommitReport::InDoubt,
            Conclusion::RolledBack { pending, .. } => pending,
            Conclusion::NotAtomic { .. } => Vec::new(),
        };
        match undone.all(|undone| undone == Undone::NothingKept) {
            true => CommitReport::RolledBack { pending },
            false if self.is(Mutation::EndedForgetsPending) => {
                CommitReport::Ended { pending: vec![] }
            }
            false => CommitReport::Ended { pending },
        }
    }

    fn misread(&self, step: Step, reply: Reply) -> Reply {
        match (self.mutation, step, reply) {
            (Some(Mutation::LostReaderIsFine), Step::End, Reply::Unknown)
            | (Some(Mutation::LostCommitIsCommit), Step::Commit, Reply::Unknown) => Reply::Done,
            (Some(Mutation::LostCommitIsAbort), Step::Commit, Reply::Unknown) => Reply::Failed,
            _ => reply,
        }
    }
}

/// Returns the progress that follows from a reply.
fn read(step: Step, reply: Reply) -> Progress {
    match (step, reply) {
        // Another process may have finished the branch.
        (Step::Apply | Step::Undo, Reply::Failed) => Progress::Looking,
        _ => Progress::Replied(reply),
    }
}

/// Returns whether a deferred constraint or a serialization failure can be reported at this step.
fn may_be_refused(serializable: bool, step: Step) -> bool {
    match step {
        Step::Prepare | Step::Commit | Step::Decide => true,
        Step::End => serializable,
        _ => false,
    }
}
