//! The servers: the effects of a step, and the replies that each effect can have.

use super::world::{Replies, Server, Transaction, World};
use crate::commit::Outcome;
use crate::commit::protocol::{Reply, Step};

impl World {
    /// Returns each possible end of the steps.
    pub(super) fn carry_out(&self, round: &[(usize, Step)]) -> Vec<(World, Replies)> {
        let mut ways = vec![(self.clone(), Vec::new())];
        for (index, step) in round {
            ways = ways
                .into_iter()
                .flat_map(|(world, replies)| {
                    world
                        .ends_of(*index, *step)
                        .into_iter()
                        .map(move |(world, reply)| {
                            let mut replies = replies.clone();
                            replies.push((*index, *step, reply));
                            (world, replies)
                        })
                })
                .collect();
        }
        ways
    }

    fn ends_of(&self, index: usize, step: Step) -> Vec<(World, Reply)> {
        use Transaction::{Committed, Open, Prepared, RolledBack};

        let after = |change: &dyn Fn(&mut World, &mut Server)| {
            let mut world = self.clone();
            let mut server = world.servers[index].clone();
            change(&mut world, &mut server);
            world.servers[index] = server;
            world
        };
        match step {
            Step::Ask => {
                let mut ends = vec![(after(&|world, _| world.obstacle = true), Reply::Failed)];
                for (wrote, serializable) in
                    [(false, false), (false, true), (true, false), (true, true)]
                {
                    let world = after(&|_, server| {
                        server.wrote = Some(wrote);
                        server.serializable = serializable;
                    });
                    ends.push((
                        world,
                        Reply::Asked {
                            wrote,
                            serializable,
                        },
                    ));
                }
                ends
            }
            Step::Identify => vec![
                (after(&|_, server| server.identified = true), Reply::Done),
                (after(&|world, _| world.obstacle = true), Reply::Failed),
            ],
            Step::Prepare => [
                (Prepared, true),
                (Prepared, false),
                (RolledBack, false),
                (Open, false),
            ]
            .into_iter()
            .map(|(transaction, confirmed)| {
                let world = after(&|world, server| {
                    server.transaction = transaction;
                    server.prepare_sent = true;
                    server.prepare_confirmed = confirmed;
                    world.obstacle |= !confirmed;
                });
                (
                    world,
                    if confirmed {
                        Reply::Done
                    } else {
                        Reply::Failed
                    },
                )
            })
            .collect(),
            Step::End => {
                let ended = after(&|_, server| {
                    server.transaction = Committed;
                    server.ended = true;
                });
                // After the decision, the end of a reader makes no difference.
                let late = self.decided
                    || self
                        .servers
                        .iter()
                        .any(|s| s.transaction == Committed && s.wrote == Some(true));
                let failed = after(&|world, server| {
                    server.transaction = RolledBack;
                    server.end_failed = true;
                    world.obstacle |= !late;
                });
                vec![
                    (ended, Reply::Done),
                    (failed.clone(), Reply::Failed),
                    (failed, Reply::Unknown),
                ]
            }
            Step::Commit => [
                (Committed, Reply::Done),
                (RolledBack, Reply::Failed),
                (Committed, Reply::Unknown),
                (RolledBack, Reply::Unknown),
            ]
            .into_iter()
            .map(|(transaction, reply)| {
                let world = after(&|_, server| {
                    server.transaction = transaction;
                    server.ended = true;
                });
                (world, reply)
            })
            .collect(),
            Step::Decide => [
                (Committed, Reply::Done),
                (Committed, Reply::Failed),
                (Open, Reply::Failed),
            ]
            .into_iter()
            .map(|(transaction, reply)| {
                let world = after(&|world, server| {
                    server.transaction = transaction;
                    server.ended = reply == Reply::Done;
                    world.decided = transaction == Committed;
                    world.decision_confirmed = reply == Reply::Done;
                });
                (world, reply)
            })
            .collect(),
            Step::RollBack => {
                let world = after(&|_, server| {
                    if server.transaction == Open {
                        server.transaction = RolledBack;
                    }
                    server.ended = true;
                });
                vec![(world, Reply::Done)]
            }
            Step::Resolve => {
                let outcome = if self.decided {
                    Outcome::Committed
                } else {
                    Outcome::RolledBack
                };
                vec![
                    (
                        after(&|world, _| world.resolved = Some(outcome)),
                        Reply::Outcome(outcome),
                    ),
                    (self.clone(), Reply::Failed),
                ]
            }
            Step::Apply | Step::Undo => {
                let end = if step == Step::Apply {
                    Committed
                } else {
                    RolledBack
                };
                let done = after(&|_, server| {
                    server.transaction = end;
                    server.ended = true;
                });
                let failed = |transaction| {
                    after(&|_, server: &mut Server| {
                        server.transaction = transaction;
                        server.end_failed = true;
                    })
                };
                vec![
                    (done, Reply::Done),
                    (failed(end), Reply::Failed),
                    (failed(self.servers[index].transaction), Reply::Failed),
                ]
            }
        }
    }
}
