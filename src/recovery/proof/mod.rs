//! Every run of a commit together with recovery, over small topologies, and the rules that hold in each state.
//!
//! The protocol and the rules of recovery are the real ones. [`topology`] has the databases and processes, [`state`]
//! the state of a run, [`address`] the targets of addresses, and [`model`] the possible events. These happen to servers
//! ([`database`]), to the process that commits ([`coordinator`]), and to those that recover ([`process`]). Others
//! delete old records ([`cleanup`]), or force a unit ([`operator`]). [`explore`] follows every event, and [`rules`]
//! checks every state. [`mutant`] breaks one part on purpose: a rule is worthless if no broken system violates it.

mod address;
mod cleanup;
mod coordinator;
mod database;
mod explore;
mod model;
mod mutant;
mod operator;
mod process;
mod rules;
mod state;
mod topology;

use self::explore::explore;
use self::model::Model;

#[test]
fn no_run_is_torn_or_told_wrong_or_left_in_doubt() {
    let mut states = 0;
    for topology in topology::all() {
        let model = Model::new(topology, None);
        match explore(&model) {
            Ok(explored) => {
                println!(
                    "{:>9} states {:>9} steps {:>9} settled  {}",
                    explored.states, explored.steps, explored.settled, model.topology.name
                );
                states += explored.states;
            }
            Err(broken) => panic!("{}: {broken}", model.topology.name),
        }
    }
    println!("{states:>9} states, 0 violations");
    assert!(states > 100_000, "only {states} states were explored");
}

#[test]
fn every_broken_system_is_caught() {
    let mut survivors = Vec::new();
    for mutation in mutant::all() {
        let mut topologies = topology::all();
        // In the order in which the mutation is found soonest.
        if mutation.is_of_operators() {
            topologies.reverse();
        }
        let caught = topologies.into_iter().find_map(|topology| {
            let model = Model::new(topology, Some(mutation));
            explore(&model)
                .err()
                .map(|broken| (broken, model.topology.name))
        });
        match caught {
            Some((broken, topology)) => {
                println!("{mutation:?} is caught: {} ({topology})", broken.rule);
            }
            None => survivors.push(mutation),
        }
    }
    assert!(survivors.is_empty(), "nothing catches {survivors:?}");
}
