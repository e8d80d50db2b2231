//! Every run of the protocol with up to three members, and the rules that hold in each.
//!
//! [`servers`] carries out steps, [`world`] checks them, and [`mutant`] breaks the protocol on purpose: a rule is
//! worthless if no broken protocol fails it.

mod mutant;
mod servers;
mod world;

use std::collections::HashSet;
use std::hash::Hash;

use super::{Member, Next, Protocol, Reply, Step};

use self::mutant::{Mutant, Mutation};
use self::world::{Broken, World};

/// The most rounds that are followed, more than any run has.
const MOST_ROUNDS: usize = 12;

/// A machine to explore: the protocol, or a mutant of it.
trait Machine: Clone + Eq + Hash {
    fn of(members: &[Member]) -> Self;
    fn next(&mut self, replies: &[(usize, Step, Reply)]) -> Next;
}

impl Machine for Protocol {
    fn of(members: &[Member]) -> Self {
        Self::new(members.iter().copied())
    }

    fn next(&mut self, replies: &[(usize, Step, Reply)]) -> Next {
        Self::next(self, replies)
    }
}

/// Follows every reply and every hidden effect. Returns the number of runs that ended well, or the first that did not.
fn explore<M: Machine>(start: M, members: &[Member]) -> Result<usize, Broken> {
    let mut seen = HashSet::new();
    let mut open = vec![(start, World::of(members), Vec::new(), 0)];
    let mut ends = 0;
    while let Some((mut machine, mut world, replies, rounds)) = open.pop() {
        if rounds > MOST_ROUNDS {
            return Err(world.broken("it does not end"));
        }
        match machine.next(&replies) {
            Next::Done(conclusion) => {
                world.conclude(&conclusion)?;
                ends += 1;
            }
            Next::Run(round) => {
                world.check_round(&round)?;
                for (world, replies) in world.carry_out(&round) {
                    let state = (machine.clone(), world, replies, rounds + 1);
                    if seen.insert(state.clone()) {
                        open.push(state);
                    }
                }
            }
        }
    }
    Ok(ends)
}

/// Explores each ordered choice of members, and returns the number of runs.
fn explore_all<M: Machine>(start: impl Fn(&[Member]) -> M) -> Result<usize, Broken> {
    let mut runs = 0;
    for members in units() {
        runs += explore(start(&members), &members)?;
    }
    Ok(runs)
}

/// Returns units of one or two members of any kind, and of three members of the kinds that differ in such a unit.
fn units() -> Vec<Vec<Member>> {
    let all = kinds();
    let few: Vec<Member> = all
        .iter()
        .copied()
        .filter(|member| !member.needs_decision_row && member.holder_rank == 0)
        .chain([
            Member {
                needs_decision_row: true,
                ..writer()
            },
            Member {
                holder_rank: 1,
                ..writer()
            },
        ])
        .collect();
    let mut units: Vec<Vec<Member>> = vec![Vec::new()];
    units.extend(all.iter().map(|one| vec![*one]));
    for one in &all {
        units.extend(all.iter().map(|two| vec![*one, *two]));
    }
    for one in &few {
        for two in &few {
            units.extend(few.iter().map(|three| vec![*one, *two, *three]));
        }
    }
    units
}

fn kinds() -> Vec<Member> {
    let mut kinds = vec![Member {
        writer: false,
        ..writer()
    }];
    for bits in 0..32 {
        let bit = |number: u8| bits >> number & 1 == 1;
        kinds.push(Member {
            writer: bit(0),
            askable: !bit(0),
            identified: bit(1),
            can_prepare: bit(2),
            holder_rank: i8::from(bit(3)),
            needs_decision_row: bit(4),
        });
    }
    kinds
}

fn writer() -> Member {
    Member {
        writer: true,
        askable: false,
        identified: true,
        can_prepare: true,
        holder_rank: 0,
        needs_decision_row: false,
    }
}

#[test]
fn every_run_is_atomic_and_tells_the_truth() {
    match explore_all(Protocol::of) {
        Ok(runs) => assert!(runs > 10_000, "only {runs} runs were explored"),
        Err(broken) => panic!("{broken}"),
    }
}

#[test]
fn every_mutant_is_caught() {
    let survivors: Vec<Mutation> = mutant::all()
        .into_iter()
        .filter(|mutation| {
            let caught = explore_all(|members| Mutant::new(members, *mutation));
            if let Err(broken) = &caught {
                println!("{mutation:?} is caught: {}", broken.rule);
            }
            caught.is_ok()
        })
        .collect();
    assert!(survivors.is_empty(), "nothing catches {survivors:?}");
}
