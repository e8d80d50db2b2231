//! Every step that a run can take from one moment to the next.

use std::rc::Rc;

use super::mutant::Mutation;
use super::state::{Connection, Coordinator, Running, State, Store, Task, Work};
use super::topology::{Kind, Topology};
use crate::backend::{Found, Reach};
use crate::commit::proof::Protocol;

/// What happens next, and what is then.
pub(super) struct Event {
    pub(super) what: What,
    pub(super) state: State,
    /// It happens by itself, as soon as nothing else goes wrong.
    pub(super) heals: bool,
}

/// What happens, and to whom.
pub(super) type What = (&'static str, usize);

/// One world, whose parts do what they should, but for one.
pub(super) struct Model {
    pub(super) topology: Topology,
    pub(super) mutation: Option<Mutation>,
    /// What a server lists, by holder and database.
    pub(super) listed: Vec<Vec<Found>>,
    /// The same where nothing says who holds the decision.
    pub(super) unplaced: Vec<Found>,
}

impl Model {
    pub(super) fn new(topology: Topology, mutation: Option<Mutation>) -> Self {
        let databases = 0..topology.databases.len();
        let found = |holder, on| {
            let branch = topology.branch(holder, on);
            Found {
                name: branch.to_string(),
                namespace: branch.gid.namespace.clone(),
                unit: branch.gid.unit,
                bind: branch.bind.clone(),
                branch: Some(branch),
                age: None,
                reach: Reach::Here,
            }
        };
        let lists = |holder| databases.clone().map(|on| found(holder, on)).collect();
        let listed: Vec<Vec<Found>> = databases.clone().map(lists).collect();
        let mut unplaced = listed[0].clone();
        for found in &mut unplaced {
            found.branch = None;
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

    /// A unit is about to commit; perhaps the application, or an error, has ended its transaction on one database.
    pub(super) fn starts(&self) -> Vec<State> {
        let databases = &self.topology.databases;
        let store = |index: usize, ended: Option<usize>| {
            let enlisted = databases[index].member.is_some();
            Store {
                up: true,
                stand_in: false,
                work: match ended {
                    _ if !enlisted => Work::RolledBack,
                    Some(ended) if ended == index => Work::Ended,
                    _ => Work::Open,
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
            }
        };
        let members: Vec<_> = databases.iter().filter_map(|d| d.member).collect();
        let ends = std::iter::once(None).chain((0..members.len()).map(Some));
        ends.map(|ended| {
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

    /// Which of two equal processes does what makes no difference.
    pub(super) fn without_names(&self, mut state: State) -> State {
        if let [one, other] = self.topology.processes.as_slice()
            && one == other
        {
            state.tasks.sort_by_key(|task| task.rank());
        }
        state
    }

    fn of_servers(&self, state: &State, events: &mut Vec<Event>) {
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
            if store.stand_in {
                happens("is itself again", true, &|next| {
                    next.stores[index].stand_in = false;
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
            if kind == Kind::Sqlite {
                continue;
            }
            if store.up {
                happens("crashes", false, &|next| {
                    next.faults -= 1;
                    self.crash(&mut next.stores[index]);
                });
            }
            if !store.stand_in {
                happens("is stood in for", false, &|next| {
                    next.faults -= 1;
                    next.stores[index].stand_in = true;
                });
            }
        }
    }
}
