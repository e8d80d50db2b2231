//! The model: every event that can follow a state.

use std::rc::Rc;

use super::mutant::Mutation;
use super::state::{Address, Connection, Coordinator, Running, State, Store, Task, Work};
use super::topology::{Kind, Topology};
use crate::backend::{ListedBranch, Reach};
use crate::commit::proof::{Protocol, Undone};

/// An event, and the state after it.
pub(super) struct Event {
    pub(super) what: What,
    pub(super) state: State,
    /// The event happens without a fault, once no more faults happen.
    pub(super) heals: bool,
}

/// The name of an event, and the index of the database or process.
pub(super) type What = (&'static str, usize);

/// The model of one topology, with at most one mutation.
pub(super) struct Model {
    pub(super) topology: Topology,
    pub(super) mutation: Option<Mutation>,
    /// The branches that a server lists, by holder and database.
    pub(super) listed: Vec<Vec<ListedBranch>>,
    /// The branches that a server lists without a row that names the holder.
    pub(super) unplaced: Vec<ListedBranch>,
}

impl Model {
    pub(super) fn new(topology: Topology, mutation: Option<Mutation>) -> Self {
        let databases = 0..topology.databases.len();
        let listed = |holder, on| {
            let branch = topology.branch(holder, on);
            ListedBranch {
                name: branch.to_string(),
                namespace: branch.gid.namespace.clone(),
                unit: branch.gid.unit,
                bind: branch.bind.clone(),
                branch: Some(branch),
                age: None,
                reach: Reach::Here,
            }
        };
        let lists = |holder| databases.clone().map(|on| listed(holder, on)).collect();
        let listed: Vec<Vec<ListedBranch>> = databases.clone().map(lists).collect();
        let mut unplaced = listed[0].clone();
        for listed in &mut unplaced {
            listed.branch = None;
        }
        Self {
            topology,
            mutation,
            listed,
            unplaced,
        }
    }

    pub(super) fn is(&self, mutation: Mutation) -> bool {
        self.mutation == Some(mutation)
    }

    /// Returns the starts: a unit is about to commit. On one database, an error may have ended the transaction, or the
    /// application may have committed it.
    pub(super) fn starts(&self) -> Vec<State> {
        let databases = &self.topology.databases;
        let store = |index: usize, ended: Option<(usize, bool)>| {
            let enlisted = databases[index].member.is_some();
            let ended = ended.filter(|(at, _)| *at == index);
            let kept_apart = ended.is_some_and(|(_, is_kept)| is_kept);
            Store {
                up: true,
                address: Address::Itself,
                moved: false,
                work: match ended {
                    _ if !enlisted => Work::RolledBack,
                    Some(_) => Work::Ended,
                    None => Work::Open,
                },
                connection: if enlisted {
                    Connection::Live
                } else {
                    Connection::Closed
                },
                wire: None,
                row: None,
                horizon: false,
                placed: false,
                parts: 0,
                was_prepared: false,
                forced: None,
                lost: false,
                undone: match kept_apart {
                    // Until a reply tells more.
                    true => Undone::Unconfirmed,
                    false => Undone::NothingKept,
                },
                kept_apart,
            }
        };
        let members: Vec<_> = databases.iter().filter_map(|d| d.member).collect();
        let aborted = (0..members.len()).map(|at| (at, false));
        let committed = self.topology.writers().map(|at| (at, true));
        let ends = aborted.chain(committed).map(Some);
        std::iter::once(None)
            .chain(ends)
            .map(|ended| {
                let mut state = State {
                    stores: (0..databases.len()).map(|i| store(i, ended)).collect(),
                    coordinator: Coordinator::Running(Rc::new(Running {
                        protocol: Protocol::new(members.clone()),
                        steps: Vec::new(),
                        confirmed: Vec::new(),
                    })),
                    tasks: vec![Task::Idle; self.topology.processes.len()],
                    holder: None,
                    said: None,
                    faults: self.topology.faults - u8::from(ended.is_some()),
                    offence: None,
                };
                self.advance(&mut state);
                state
            })
            .collect()
    }

    pub(super) fn events(&self, state: &State) -> Vec<Event> {
        let mut events = Vec::new();
        self.of_servers(state, &mut events);
        self.of_coordinator(state, &mut events);
        for process in 0..state.tasks.len() {
            self.of_process(process, state, &mut events);
        }
        events
    }

    /// Returns whether all earlier work has ended. An operator forces a unit with a lost holder only after its
    /// coordinator and all recovery have ended: the unit may have been decided before.
    fn is_over(&self, state: &State) -> bool {
        !matches!(state.coordinator, Coordinator::Running(_))
            && state.stores.iter().all(|store| store.wire.is_none())
            && state.tasks.iter().all(|task| *task == Task::Idle)
    }

    /// Removes irrelevant differences: two equal processes are interchangeable.
    pub(super) fn without_names(&self, mut state: State) -> State {
        for index in 0..state.stores.len() {
            state.stores[index].moved &= self.is_asked(&state, index);
        }
        if let [one, other] = self.topology.processes.as_slice()
            && one == other
        {
            state.tasks.sort_by_key(|task| task.rank());
        }
        state
    }

    fn of_servers(&self, state: &State, events: &mut Vec<Event>) {
        let mut processes = self.topology.processes.iter();
        let operated = processes.any(|process| process.operator.is_some());
        for (index, store) in state.stores.iter().enumerate() {
            let kind = self.topology.databases[index].kind;
            let mut happens = |what, heals, change: &dyn Fn(&mut State)| {
                let mut next = state.clone();
                change(&mut next);
                events.push(Event {
                    what: (what, index),
                    state: next,
                    heals,
                });
            };
            if store.lost {
                continue;
            }
            if !store.up {
                happens("comes back", true, &|next| next.stores[index].up = true);
            } else if store.connection != Connection::Closed {
                let mut noticed = store.clone();
                if self.notice(index, &mut noticed) {
                    happens("sees a connection go", true, &|next| {
                        next.stores[index] = noticed.clone();
                    });
                }
            }
            let is_held = state.holder == Some(index);
            if operated && is_held && state.faults > 0 && self.is_over(state) {
                happens("is lost for good", false, &|next| {
                    next.faults -= 1;
                    next.stores[index].close();
                    next.stores[index].up = false;
                    next.stores[index].lost = true;
                });
            }
            let is_asked = self.is_asked(state, index);
            let may_move = !(is_asked && store.moved);
            let leads = |next: &mut State, address| {
                next.stores[index].address = address;
                next.stores[index].moved = is_asked;
            };
            if store.address != Address::Itself && may_move {
                happens("is itself again", true, &|next| {
                    leads(next, Address::Itself);
                });
            }
            if state.faults == 0 {
                continue;
            }
            if state.holder == Some(index) && store.row.is_none() && !store.horizon {
                happens("forgets units that began later", false, &|next| {
                    next.faults -= 1;
                    next.stores[index].horizon = true;
                });
            }
            if store.address == Address::Itself && may_move && self.may_lead_elsewhere(state, index)
            {
                happens("has its address lead to another database", false, &|next| {
                    next.faults -= 1;
                    leads(next, Address::Other);
                });
                if state.holder.is_some() && kind == Kind::Postgres {
                    happens("has its address lead to an older copy", false, &|next| {
                        next.faults -= 1;
                        leads(next, Address::Older);
                    });
                }
            }
            // With operators, servers do not crash: there are enough states without that.
            if kind != Kind::Sqlite && store.up && !operated {
                happens("crashes", false, &|next| {
                    next.faults -= 1;
                    self.crash(&mut next.stores[index]);
                });
            }
        }
    }
}
