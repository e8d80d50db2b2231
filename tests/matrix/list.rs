//! All cases of a topology, and a random slice of them.

use std::collections::{BTreeMap, BTreeSet};

use diesel_binds::recovery::Outcome;
use diesel_binds::testing::{FaultPlan, Moment, Point, Step};
use fastrand::Rng;

use crate::case::{Case, Fault, Shape, Trouble};
use crate::class::Class;
use crate::elsewhere::Other;
use crate::network::{Damage, How, Message};
use crate::topology::Topology;

/// A unit without a fault, or with an earlier fault that changes its path.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) shape: Shape,
    pub(crate) first: Option<Trouble>,
    /// The points that the unit passed, in a fixed order.
    pub(crate) passed: BTreeSet<Point>,
}

impl Run {
    pub(crate) fn of(shape: Shape, first: Option<Trouble>, plan: &FaultPlan) -> Self {
        Self {
            shape,
            first,
            passed: plan.passed().into_iter().collect(),
        }
    }
}

/// Returns the earlier faults that lead a unit which passed these points to other ones.
pub(crate) fn troubles(passed: &BTreeSet<Point>) -> Vec<Trouble> {
    let refused = |point: &Point| match (point.step, point.moment) {
        (Step::Prepare, Moment::Before) => Some(true),
        (Step::Decide, Moment::Before | Moment::After) => Some(false),
        _ => None,
    };
    let troubles = passed.iter().filter_map(|point| {
        Some(Trouble {
            refused: refused(point)?,
            point: point.clone(),
        })
    });
    troubles.collect()
}

/// Returns all cases of these runs. `keys` are the binds, and `is_server` returns whether a bind has a process of its
/// own.
pub(crate) fn cases(
    topology: Topology,
    runs: &[Run],
    keys: &[&str],
    is_server: impl Fn(usize) -> bool,
) -> Vec<Case> {
    let servers: Vec<usize> = (0..keys.len()).filter(|index| is_server(*index)).collect();
    let mut cases = Vec::new();
    for run in runs {
        let case = |fault| Case {
            topology,
            shape: run.shape,
            first: run.first.clone(),
            fault,
        };
        let before = runs
            .iter()
            .find(|other| other.shape == run.shape && other.first.is_none())
            .filter(|_| run.first.is_some());
        let known = |point: &&Point| before.is_none_or(|before| !before.passed.contains(*point));
        for point in run.passed.iter().filter(known) {
            // SQLite has no choice of isolation levels.
            let has_snapshots = servers.len() == keys.len();
            forced(point, has_snapshots, |fault| cases.push(case(fault)));
            cases.push(case(Fault::Coordinator(point.clone())));
            cases.push(case(Fault::Recovered(point.clone())));
            cases.push(case(Fault::Slow(point.clone())));
            for server in &servers {
                // After an earlier fault, only the server of the step is tested.
                if run.first.is_none() || point.bind.as_deref() == Some(keys[*server]) {
                    let (server, point) = (*server, point.clone());
                    cases.push(case(Fault::SessionsKilled {
                        server,
                        point: point.clone(),
                    }));
                    cases.push(case(Fault::Server { server, point }));
                }
            }
            let to = |index: &&usize| point.bind.as_deref() == Some(keys[**index]);
            let Some(server) = servers.iter().copied().find(|index| to(&index)) else {
                continue;
            };
            let is_first = run.first.is_none();
            let is_postgres = keys[server].starts_with("pg");
            beside(point, server, (is_first, is_postgres), |fault| {
                cases.push(case(fault));
            });
            for message in messages(point, run.first.as_ref()).iter().copied() {
                cases.push(case(Fault::Cancelled { server, message }));
                for damage in Damage::all() {
                    cases.push(case(Fault::Network {
                        server,
                        message,
                        damage,
                    }));
                    // Recovery may have written the fence by then.
                    if damage.how == How::Delay && message != Message::Fence {
                        cases.push(case(Fault::Late {
                            point: point.clone(),
                            server,
                            message,
                            reply: damage.reply,
                        }));
                    }
                }
            }
        }
    }
    cases
}

/// Adds the events that may happen on the server of the step.
fn beside(
    point: &Point,
    server: usize,
    (is_first, is_postgres): (bool, bool),
    mut add: impl FnMut(Fault),
) {
    let point = || point.clone();
    let moment = point().moment;
    if moment != Moment::After {
        add(Fault::CancelledOften {
            server,
            point: point(),
        });
        for other in [Other::Stranger, Other::Copy] {
            // Only after an earlier fault is a question sent on a new connection.
            for cut in [true, false] {
                if cut || (!is_first && moment == Moment::Before) {
                    add(Fault::Elsewhere {
                        server,
                        point: point(),
                        other,
                        cut,
                    });
                }
            }
        }
    }
    // A step that is under way in between may have reached the standby, or not.
    let decides = |step| {
        matches!(
            step,
            Step::Prepare | Step::Decide | Step::Commit | Step::Resolve | Step::Apply
        )
    };
    if is_postgres && (moment == Moment::Before || moment == Moment::After && decides(point().step))
    {
        add(Fault::Away {
            server,
            point: point(),
            ended: false,
        });
        if moment == Moment::Before && decides(point().step) {
            add(Fault::Away {
                server,
                point: point(),
                ended: true,
            });
        }
    }
}

/// Adds the outcomes that an operator may force.
fn forced(point: &Point, has_snapshots: bool, mut add: impl FnMut(Fault)) {
    for outcome in [Outcome::Committed, Outcome::RolledBack] {
        if outcome == Outcome::RolledBack || point.moment != Moment::Sent {
            add(Fault::Forced {
                point: point.clone(),
                outcome,
                snapshot: has_snapshots && outcome == Outcome::RolledBack,
            });
        }
    }
}

/// Returns the messages of the step that is about to be sent.
fn messages(point: &Point, first: Option<&Trouble>) -> &'static [Message] {
    if point.moment != Moment::Before {
        return &[];
    }
    match point.step {
        Step::Identify => &[Message::Identify],
        Step::Prepare => &[Message::Prepare],
        Step::Decide => &[Message::Decide],
        Step::Apply => &[Message::Apply],
        Step::Commit | Step::End => &[Message::Commit],
        // A decision that is found needs no fence.
        Step::Resolve => match first {
            Some(first) if first.point.moment == Moment::Before => &[Message::Look, Message::Fence],
            _ => &[Message::Look],
        },
        _ => &[],
    }
}

/// Returns this many random cases, spread over the classes. Cases that restart a server are rarer.
pub(crate) fn slice(cases: Vec<Case>, size: usize, random: &mut Rng) -> Vec<Case> {
    let mut classes: BTreeMap<Class, Vec<Case>> = BTreeMap::new();
    for case in cases {
        classes.entry(case.class()).or_default().push(case);
    }
    for of_class in classes.values_mut() {
        random.shuffle(of_class);
    }
    let mut chosen = Vec::new();
    for turn in 0.. {
        let before = chosen.len();
        for (class, of_class) in &mut classes {
            let rests = *class == Class::Server && turn % TURNS_PER_SERVER_KILL != 0;
            if chosen.len() < size && !rests {
                chosen.extend(of_class.pop());
            }
        }
        if chosen.len() == before && turn % TURNS_PER_SERVER_KILL == 0 {
            break;
        }
    }
    chosen
}

/// The restart of a server takes seconds.
const TURNS_PER_SERVER_KILL: usize = 5;
