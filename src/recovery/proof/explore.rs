//! The exploration: follows every step from every start, and checks the rules in every state.

use std::collections::VecDeque;
use std::fmt;
use std::rc::Rc;

use rustc_hash::FxHashMap;

use super::model::{Model, What};
use super::state::State;

/// A limit that no topology reaches: a model that grows without end is wrong.
const MOST_STATES: usize = 3_000_000;

/// The size of an exploration.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Explored {
    pub(super) states: usize,
    pub(super) steps: usize,
    /// States in which nothing is left to do.
    pub(super) settled: usize,
}

/// A rule that a run broke, and the shortest run that does.
pub(super) struct Broken {
    pub(super) rule: &'static str,
    way: Vec<What>,
    state: Rc<State>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "broken: {}", self.rule)?;
        for (what, whom) in &self.way {
            writeln!(f, "  {whom} {what}")?;
        }
        write!(f, "{:#?}", self.state)
    }
}

/// All states that were found, each with the step that first led to it.
#[derive(Default)]
struct Graph {
    numbers: FxHashMap<Rc<State>, u32>,
    states: Vec<Rc<State>>,
    from: Vec<Option<(u32, What)>>,
    /// For each state, the states from which a step without a fault leads to it.
    healed_from: Vec<Vec<u32>>,
}

impl Graph {
    /// Returns the number of a state, and whether it is new.
    fn add(&mut self, state: State, from: Option<(u32, What)>) -> (u32, bool) {
        if let Some(number) = self.numbers.get(&state) {
            return (*number, false);
        }
        let number = u32::try_from(self.states.len()).expect("fewer states");
        let state = Rc::new(state);
        self.numbers.insert(Rc::clone(&state), number);
        self.states.push(state);
        self.from.push(from);
        self.healed_from.push(Vec::new());
        (number, true)
    }

    fn broken(&self, rule: &'static str, at: u32) -> Broken {
        let mut way = Vec::new();
        let mut state = at;
        while let Some((before, what)) = self.from[state as usize] {
            way.push(what);
            state = before;
        }
        way.reverse();
        Broken {
            rule,
            way,
            state: Rc::clone(&self.states[at as usize]),
        }
    }

    /// Returns the first state from which no run without further faults reaches a settled one.
    fn stuck(&self, settled: Vec<u32>) -> Option<u32> {
        let mut converges = vec![false; self.states.len()];
        let mut open = settled;
        while let Some(number) = open.pop() {
            if !std::mem::replace(&mut converges[number as usize], true) {
                open.extend(&self.healed_from[number as usize]);
            }
        }
        let stuck = converges.iter().position(|converges| !converges)?;
        u32::try_from(stuck).ok()
    }
}

/// Explores one topology. Returns the size of the exploration, or the first rule that is broken.
pub(super) fn explore(model: &Model) -> Result<Explored, Broken> {
    let mut graph = Graph::default();
    let mut open = VecDeque::new();
    let mut explored = Explored::default();
    for start in model.starts() {
        open.extend(Some(graph.add(start, None)).filter(|(_, new)| *new));
    }
    let mut settled = Vec::new();
    while let Some((number, _)) = open.pop_front() {
        let state = Rc::clone(&graph.states[number as usize]);
        if let Some(rule) = model.broken(&state) {
            return Err(graph.broken(rule, number));
        }
        if model.settled(&state) {
            settled.push(number);
        }
        for event in model.events(&state) {
            explored.steps += 1;
            let state = model.without_names(event.state);
            let (next, new) = graph.add(state, Some((number, event.what)));
            if event.heals && next != number {
                graph.healed_from[next as usize].push(number);
            }
            if new {
                open.push_back((next, true));
            }
        }
        assert!(graph.states.len() < MOST_STATES, "{}", model.topology.name);
    }
    explored.states = graph.states.len();
    explored.settled = settled.len();
    match graph.stuck(settled) {
        Some(stuck) => Err(graph.broken("nothing stays in doubt once all are back", stuck)),
        None => Ok(explored),
    }
}
