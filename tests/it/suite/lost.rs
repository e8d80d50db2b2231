//! Messages lost on their way to a server, and replies lost on their way back: the reported result stays true.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel_binds::error::Fault as Cause;
use diesel_binds::recovery::Outcome;
use diesel_binds::{BindOptions, CommitError};
use kit::faulty::{CommitReport, Faulty, Limits};
use kit::phase::Phase;
use kit::prepared::decision;
use kit::proxy::Fault;
use kit::world::Sides;

/// Returns the result of a lost connection if another one can be opened at once.
fn expected(phase: Phase, forwarded: bool) -> CommitReport {
    match phase {
        Phase::Begin | Phase::Statement | Phase::Identify | Phase::Prepare => {
            CommitReport::ROLLED_BACK
        }
        Phase::Decide if !forwarded => CommitReport::ROLLED_BACK,
        Phase::Decide | Phase::Finish => CommitReport::COMMITTED,
    }
}

/// Every message of a unit is lost once, and its reply once, on every server.
pub(crate) async fn a_lost_message_or_reply_leaves_all_or_nothing<S: Sides>() {
    let faulty = Faulty::<S>::start(Limits::default(), &BindOptions::new()).await;
    let mut seen = BTreeSet::new();
    for (index, _) in faulty.servers() {
        for phase in Phase::ALL {
            for forwarded in [false, true] {
                let bytes = phase.bytes(faulty.is_mysql(index));
                let fault = if forwarded {
                    Fault::after(bytes)
                } else {
                    Fault::before(bytes)
                };
                let text = format!("{index} {phase:?} {forwarded}");
                let Some(reported) = faulty.with_fault(index, &fault, &text).await else {
                    continue;
                };
                seen.insert(phase);
                let holds = faulty.is_holder(index);
                // A MySQL/MariaDB holder commits its branch in the message of the decision.
                let phase = if holds && phase == Phase::Finish {
                    Phase::Decide
                } else {
                    phase
                };
                match (phase, reported) {
                    // The branch is not listed yet, but may be in a moment, and must then be reported.
                    (Phase::Prepare, CommitReport::RolledBack { pending }) => {
                        assert!(
                            pending.is_empty() || pending == [S::keys()[index]],
                            "{text}"
                        );
                    }
                    (phase, reported) => assert_eq!(reported, expected(phase, forwarded), "{text}"),
                }
            }
        }
    }
    for phase in [
        Phase::Begin,
        Phase::Statement,
        Phase::Prepare,
        Phase::Finish,
    ] {
        assert!(seen.contains(&phase), "{phase:?} was never hit");
    }
    let servers_hold = faulty
        .world
        .databases
        .iter()
        .all(|database| database.name().is_some());
    assert!(!servers_hold || seen.contains(&Phase::Decide));
}

/// The server accepts no new connections. An unknown outcome is reported as unknown, and an unfinished branch is named.
pub(crate) async fn a_server_that_stays_away_is_in_doubt_or_pending<S: Sides>() {
    let limits = Limits {
        resolve: Duration::from_millis(300),
        ..Limits::default()
    };
    let faulty = Faulty::<S>::start(limits, &BindOptions::new()).await;
    assert_eq!(
        faulty.judge(&faulty.attempt("warm").await).await,
        CommitReport::COMMITTED
    );
    for (index, proxy) in faulty.servers() {
        for phase in [Phase::Prepare, Phase::Decide, Phase::Finish] {
            for forwarded in [false, true] {
                let bytes = phase.bytes(faulty.is_mysql(index));
                let fault = if forwarded {
                    Fault::after(bytes)
                } else {
                    Fault::before(bytes)
                };
                let text = format!("{index} {phase:?} {forwarded}");
                proxy.inject(fault);
                proxy.refuse();
                let attempt = faulty.attempt(&text).await;
                let fired = !proxy.disarm();
                proxy.accept();
                let reported = faulty.judge(&attempt).await;
                let pending = vec![S::keys()[index]];
                if !fired {
                    assert_eq!(reported, CommitReport::COMMITTED, "{text}");
                } else if faulty.is_holder(index) {
                    assert_eq!(reported, CommitReport::InDoubt, "{text}");
                    let Err(CommitError::InDoubt { gid, .. }) = &attempt.result else {
                        unreachable!("the commit reported it as in doubt");
                    };
                    assert_eq!(gid.unit(), attempt.unit);
                    assert_eq!(gid.holder(), S::keys()[index]);
                    let url = faulty.world.databases[index].url();
                    let decided = decision(url, attempt.unit).await;
                    assert_eq!(decided, forwarded.then_some(Outcome::Committed), "{text}");
                } else if phase == Phase::Prepare {
                    assert_eq!(reported, CommitReport::RolledBack { pending }, "{text}");
                } else {
                    assert_eq!(reported, CommitReport::Committed { pending }, "{text}");
                }
                faulty.assert_works_again(&text).await;
            }
        }
    }
}

/// A server hangs, with the connection open, while others can be opened.
///
/// The progress of another connection within the time of one step is uncertain on a loaded machine. On MariaDB, it
/// waits for the hanging connection, kills it, and waits until it is gone. A branch that is not finished by then must
/// be named; `judge` asserts that. A bind that does not hang may also take too long.
pub(crate) async fn a_hanging_connection_ends_in_a_true_answer<S: Sides>() {
    let limits = Limits {
        step: Duration::from_secs(1),
        resolve: Duration::from_secs(5),
    };
    let faulty = Faulty::<S>::start(limits, &BindOptions::new()).await;
    assert_eq!(
        faulty.judge(&faulty.attempt("warm").await).await,
        CommitReport::COMMITTED
    );
    for (index, proxy) in faulty.servers() {
        for phase in [Phase::Prepare, Phase::Decide, Phase::Finish] {
            for forwarded in [false, true] {
                let bytes = phase.bytes(faulty.is_mysql(index));
                let fault = if forwarded {
                    Fault::after(bytes)
                } else {
                    Fault::before(bytes)
                };
                let text = format!("{index} {phase:?} {forwarded}");
                proxy.inject(fault.stalling());
                let attempt = faulty.attempt(&text).await;
                let fired = !proxy.disarm();
                let reported = faulty.judge(&attempt).await;
                let key = S::keys()[index];
                let is_slow = matches!(
                    &attempt.result,
                    Err(CommitError::RolledBack { bind, source: Cause::TimedOut, .. }) if *bind != key
                );
                let committed = match phase {
                    _ if is_slow => false,
                    _ if !fired => true,
                    Phase::Prepare => false,
                    Phase::Decide => forwarded,
                    Phase::Finish => !faulty.is_holder(index) || forwarded,
                    _ => unreachable!(),
                };
                match reported {
                    CommitReport::Committed { pending } => assert!(
                        committed && (pending.is_empty() || pending == [key]),
                        "{text}: pending {pending:?}"
                    ),
                    CommitReport::RolledBack { pending } => {
                        assert!(!committed, "{text}: {:?}", attempt.result);
                        // A prepare that hangs on its way may still arrive.
                        let is_named = pending == [key];
                        let may_arrive = fired && phase == Phase::Prepare && !forwarded;
                        assert!(
                            is_named || is_slow || (pending.is_empty() && !may_arrive),
                            "{text}: pending {pending:?}"
                        );
                    }
                    reported => panic!("{text}: {reported:?}"),
                }
                proxy.cut();
                faulty.assert_works_again(&text).await;
            }
        }
    }
}

/// A statement hangs: the deadline of the unit ends the wait, and nothing is kept.
pub(crate) async fn a_hanging_statement_ends_at_the_deadline<S: Sides>() {
    let faulty = Faulty::<S>::start(Limits::default(), &BindOptions::new()).await;
    for (index, proxy) in faulty.servers() {
        for phase in [Phase::Begin, Phase::Statement] {
            for forwarded in [false, true] {
                let bytes = phase.bytes(faulty.is_mysql(index));
                let fault = if forwarded {
                    Fault::after(bytes)
                } else {
                    Fault::before(bytes)
                };
                let text = format!("{index} {phase:?} {forwarded}");
                proxy.inject(fault.stalling());
                let attempt = faulty.attempt_within(Duration::from_secs(1), &text).await;
                assert!(!proxy.disarm(), "{text} was never hit");
                assert!(
                    matches!(
                        attempt.written,
                        Err(diesel_binds::Error::DeadlineExceeded { .. })
                    ),
                    "{attempt:?}"
                );
                assert_eq!(
                    faulty.judge(&attempt).await,
                    CommitReport::ROLLED_BACK,
                    "{text}"
                );
                proxy.cut();
                faulty.assert_works_again(&text).await;
            }
        }
    }
}

/// A node of a cluster, for example, may end a transaction between two statements of a message, and run the rest in
/// another transaction. Nothing of the rest may be kept without the work of the unit.
pub(crate) async fn a_transaction_that_ends_within_a_message_leaves_all_or_nothing<S: Sides>() {
    ends_within_a_message::<S>(BindOptions::new(), false).await;
}

/// A lone unit that is recorded decides in a plain transaction.
pub(crate) async fn a_recorded_transaction_that_ends_within_a_message_leaves_all_or_nothing<
    S: Sides,
>() {
    ends_within_a_message::<S>(BindOptions::new().record_every_commit(), true).await;
}

async fn ends_within_a_message<S: Sides>(options: BindOptions, is_recorded: bool) {
    let faulty = Faulty::<S>::start(Limits::default(), &options).await;
    if let [database] = &faulty.world.databases[..]
        && database.is_mysql()
        && !is_recorded
    {
        // Its last statement cannot tell whether the transaction is still open (docs/commit.md).
        return;
    }
    faulty.assert_works_again("first").await;
    every_gap(&faulty, is_recorded).await;
}

async fn every_gap<S: Sides>(faulty: &Faulty<S>, is_recorded: bool) {
    let is_alone = faulty.world.databases.len() == 1;
    for (index, proxy) in faulty.servers() {
        let (prepares, decides) = match is_alone {
            true => (false, is_recorded),
            false => (!faulty.is_holder(index), faulty.is_holder(index)),
        };
        // The bytes of each message that ends a transaction here, and whether one with a gap is sent.
        let ends: &[(&str, bool)] = match faulty.is_mysql(index) {
            true => &[("RELEASE SAVEPOINT diesel_binds_unit_", true)],
            false => &[
                ("PREPARE TRANSACTION", prepares),
                ("INSERT INTO public.diesel_binds", decides),
            ],
        };
        for (number, &(end, is_sent)) in ends.iter().enumerate() {
            let (mut gaps, mut is_late) = (0, false);
            loop {
                // This text must not contain the bytes of the fault.
                let text = format!("row {index} {number} {gaps}");
                let before = proxy.fired();
                proxy.inject(Fault::before(end).rolling_back_behind(gaps + 1));
                let attempt = faulty.attempt(&text).await;
                proxy.disarm();
                let reported = faulty.judge(&attempt).await;
                if proxy.fired() == before {
                    assert_eq!(reported, CommitReport::COMMITTED, "{end}: {text}");
                    break;
                }
                // The fault ended the transaction before the commit, so nothing is left. On MySQL, a message puts back
                // autocommit behind the end of a branch. There, the fault is too late, as `judge` has asserted.
                assert!(!is_late, "{end}: {text}");
                is_late = reported == CommitReport::COMMITTED;
                assert!(
                    !is_late || faulty.world.databases[index].is_mysql(),
                    "{end}: {text}"
                );
                gaps += 1;
                assert!(gaps < 20, "a message has an end");
            }
            assert_eq!(gaps > 0, is_sent, "{end} on {index}: {gaps} gaps");
        }
    }
}
