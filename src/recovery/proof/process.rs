//! A process that recovers: the branches that it lists, the holders that it asks, the branches that it finishes.

use std::time::Duration;

use super::database::{Answered, Finished};
use super::model::{Event, Model};
use super::mutant::Mutation;
use super::state::{Address, Ask, Part, State, Task, Work};
use super::topology::{Kind, OURS, Process};
use crate::commit::Outcome;
use crate::recovery::judge::{Finder, Verdict, judge};

impl Model {
    pub(super) fn of_process(&self, number: usize, state: &State, events: &mut Vec<Event>) {
        let process = &self.topology.processes[number];
        let mut happens = |what, heals, task, mut next: State| {
            next.tasks[number] = task;
            events.push(Event {
                what: (what, number),
                state: next,
                heals,
            });
        };
        match state.tasks[number] {
            Task::Idle => {
                for on in process.binds.iter().copied() {
                    for holder in self.whom_to_ask(process, on, state) {
                        let task = Task::Asking {
                            on: Some(on),
                            holder,
                            ask: Ask::Look,
                        };
                        happens("takes a branch on", true, task, state.clone());
                    }
                }
                // The application calls `Recovery::resolve` with the gid of the unit.
                if let Some(holder) = state
                    .holder
                    .filter(|_| state.said.is_none() && process.may_resolve())
                    && let Some(bind) = self.bind(process, self.topology.databases[holder].key)
                {
                    let task = Task::Asking {
                        on: None,
                        holder: bind,
                        ask: Ask::Look,
                    };
                    happens("is asked to resolve", false, task, state.clone());
                }
                if let Some(force) = self.operator(process, state) {
                    happens("forces", false, Task::Forcing(force), state.clone());
                }
                if process.operator.is_some() {
                    return;
                }
                for (what, task, next) in self.clean_up(process, state) {
                    happens(what, false, task, next);
                }
            }
            Task::Asking { on, holder, ask } => {
                let mut next = state.clone();
                let same = state.holder == Some(holder) || self.is(Mutation::AsksEveryBind);
                let task = match self.answer(&mut next.stores[holder], ask, same) {
                    Answered::Blocked => return happens("gives up", false, Task::Idle, next),
                    Answered::Failed => match self.assumed() {
                        Some(outcome) => finishing(on, outcome),
                        None => Task::Idle,
                    },
                    Answered::Next(ask) => Task::Asking { on, holder, ask },
                    Answered::Outcome(outcome) => {
                        let address = state.stores[holder].address;
                        if state.holder == Some(holder) && address == Address::Itself {
                            self.say(&mut next, outcome);
                        }
                        finishing(on, outcome)
                    }
                };
                self.touch(process, &mut next);
                happens("asks", true, task, next);
                happens("dies", false, Task::Idle, state.clone());
            }
            Task::Finishing { on, outcome, part } => {
                let mut next = state.clone();
                let Some(task) = self.finish_listed(&mut next, on, outcome, part) else {
                    return;
                };
                if next.stores[on].work != state.stores[on].work {
                    self.touch(process, &mut next);
                }
                happens("finishes", true, task, next);
                happens("dies", false, Task::Idle, state.clone());
            }
            Task::Forgetting { holder, part } => {
                let task = self.look_at_participants(process, state, holder, part);
                happens("looks at participants", true, task, state.clone());
            }
            Task::Forcing(force) => {
                let mut next = state.clone();
                let Some(task) = self.force(process, &mut next, force) else {
                    // The waiting statement has a time limit.
                    return happens("waits in vain", false, Task::Idle, next);
                };
                happens("goes on by force", true, task, next);
                happens("dies", false, Task::Idle, state.clone());
            }
            Task::Deleting { holder } => {
                let mut next = state.clone();
                self.forget(&mut next.stores[holder]);
                happens("forgets", true, Task::Idle, next);
            }
        }
    }

    /// Finishes a branch in the database that listed it. Returns `None` if that has to wait.
    fn finish_listed(
        &self,
        next: &mut State,
        on: usize,
        outcome: Outcome,
        part: Part,
    ) -> Option<Task> {
        let stays = self.stays(next, on);
        let go_on = |part| Some(Task::Finishing { on, outcome, part });
        let store = &mut next.stores[on];
        if !store.up {
            return Some(Task::Idle);
        }
        match part {
            Part::Before if !self.is_same(store, Mutation::ListNotCompared) => Some(Task::Idle),
            Part::Before if !stays => go_on(Part::Within),
            Part::Before | Part::Within if store.address != Address::Itself => go_on(Part::After),
            Part::Before | Part::Within if store.work != Work::Prepared => Some(Task::Idle),
            Part::Before | Part::Within => match self.finish(on, store, outcome) {
                Finished::Wait => None,
                Finished::Killed => go_on(part),
                // A result from the database itself is true, whatever its address leads to afterwards.
                Finished::Done | Finished::NotThere => Some(Task::Idle),
            },
            Part::After => {
                let is_same = self.is_same(store, Mutation::FinishNotComparedAfter);
                if is_same && store.work == Work::Prepared {
                    next.offence = Some("a branch reported as finished is finished");
                }
                Some(Task::Idle)
            }
        }
    }

    /// Returns the databases that the process asks about a listed branch, by the real rule.
    fn whom_to_ask(&self, process: &Process, on: usize, state: &State) -> Vec<usize> {
        let store = &state.stores[on];
        let (Some(holder), true, Work::Prepared) = (state.holder, store.reached(), store.work)
        else {
            return Vec::new();
        };
        if self.is(Mutation::AsksEveryBind) && process.namespace == OURS {
            return process
                .binds
                .iter()
                .copied()
                .filter(|bind| *bind != on)
                .collect();
        }
        let unplaced = self.topology.databases[on].kind == Kind::MariaDb && !store.placed;
        let listed = if unplaced {
            &self.unplaced[on]
        } else {
            &self.listed[holder][on]
        };
        let finder = Finder {
            namespace: if self.is(Mutation::ForeignNamespace) {
                OURS
            } else {
                process.namespace
            },
            bind: self.topology.databases[on].key,
        };
        let has_bind = |key: &str| self.bind(process, key).is_some();
        match judge(listed, finder, Duration::ZERO, has_bind) {
            Verdict::Ask(branch) => self
                .bind(process, branch.gid.holder())
                .into_iter()
                .collect(),
            Verdict::Leave(_) | Verdict::Ignore => Vec::new(),
        }
    }

    /// Returns the database that a key leads to in a process.
    pub(super) fn bind(&self, process: &Process, key: &str) -> Option<usize> {
        let mut binds = process.binds.iter().copied();
        binds.find(|bind| self.topology.databases[*bind].key == key)
    }

    /// Returns the outcome that a mutation assumes for a holder that cannot be asked.
    fn assumed(&self) -> Option<Outcome> {
        match self.mutation {
            Some(Mutation::UnreachedHolderIsAbort) => Some(Outcome::RolledBack),
            Some(Mutation::UnreachedHolderIsCommit) => Some(Outcome::Committed),
            _ => None,
        }
    }

    fn touch(&self, process: &Process, state: &mut State) {
        if process.namespace != OURS {
            state.offence = Some("a process finishes only branches of its own units");
        }
    }
}

fn finishing(on: Option<usize>, outcome: Outcome) -> Task {
    let part = Part::Before;
    on.map_or(Task::Idle, |on| Task::Finishing { on, outcome, part })
}
