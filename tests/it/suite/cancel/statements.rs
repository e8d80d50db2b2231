//! Statements that are dropped before their end.

use diesel_binds::{CommitError, Error};
use kit::proxy::{Fault, Proxy};
use kit::side::PoolKind;
use kit::step::Step;
use kit::world::Sides;
use tokio::sync::Notify;

use crate::suite::cancel::{Bench, assert_answers, binds};
use crate::suite::polls::{DropPoint, Ran, at_every_poll};

/// The next step of the unit after one of its statements was dropped.
#[derive(Clone, Copy, Debug)]
enum Then {
    Commit,
    RollBack,
    Leave,
}

/// A checkout, the questions about the server and a begin precede the statement.
pub(crate) async fn a_first_statement_may_be_dropped_at_any_poll<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    for index in 0..S::keys().len() {
        for step in [Step::Insert, Step::Stream, Step::Connection] {
            at_every_poll(async |moment| {
                bench.forget().await;
                first(&mut bench, index, step, moment).await
            })
            .await;
        }
    }
    bench.world.binds.close().await;
}

/// A checkout of a used connection, with a test of that connection, precedes the statement.
pub(crate) async fn a_second_unit_may_be_dropped_at_any_poll_of_its_begin<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    bench.assert_whole().await;
    for index in 0..S::keys().len() {
        at_every_poll(async |moment| first(&mut bench, index, Step::Insert, moment).await).await;
    }
    bench.world.binds.close().await;
}

async fn first<S: Sides>(bench: &mut Bench<S>, index: usize, step: Step, moment: DropPoint) -> Ran {
    let mut session = bench.session();
    let text = bench.text();
    let output = moment
        .cut(S::step(index, step, &mut session, "nothing", &text))
        .await;
    let ran = Ran::from(&output);
    match output {
        Some(result) => {
            result.unwrap();
            drop(session);
        }
        None => {
            let asked = S::echo(&session, 77).await;
            check(
                asked.map(|answers| assert!(answers.iter().all(|answer| *answer == 77))),
                session.commit_all().await,
            );
        }
    }
    bench.assert_clean().await;
    assert!(!bench.places(&text).await.contains(&true));
    ran
}

pub(crate) async fn a_later_statement_dropped_at_any_poll_never_commits_by_half<S: Sides>(
    pool: PoolKind,
) {
    later::<S>(pool, Then::Commit).await;
}

pub(crate) async fn a_unit_is_rolled_back_after_a_statement_dropped_at_any_poll<S: Sides>(
    pool: PoolKind,
) {
    later::<S>(pool, Then::RollBack).await;
}

pub(crate) async fn a_session_is_left_after_a_statement_dropped_at_any_poll<S: Sides>(
    pool: PoolKind,
) {
    later::<S>(pool, Then::Leave).await;
}

async fn later<S: Sides>(pool: PoolKind, then: Then) {
    let mut bench = Bench::<S>::new(pool).await;
    for index in 0..S::keys().len() {
        for step in Step::ALL {
            at_every_poll(async |moment| {
                let (kept, text) = (bench.text(), bench.text());
                let mut session = bench.session();
                S::write(&session, &kept).await.unwrap();
                let output = moment
                    .cut(S::step(index, step, &mut session, &kept, &text))
                    .await;
                if let Some(result) = output {
                    result.unwrap();
                    assert_answers::<S>(&session, 88).await;
                    session.commit_all().await.unwrap();
                    bench.assert_clean().await;
                    return Ran::Whole;
                }
                let keeps = match then {
                    Then::Commit => {
                        let asked = S::echo(&session, 99).await;
                        let asked = asked
                            .map(|answers| assert!(answers.iter().all(|answer| *answer == 99)));
                        check(asked, session.commit_all().await)
                    }
                    Then::RollBack => {
                        session.rollback_all().await.unwrap();
                        // The session can be used again.
                        assert_answers::<S>(&session, 66).await;
                        false
                    }
                    Then::Leave => false,
                };
                drop(session);
                bench.assert_clean().await;
                assert_eq!(
                    bench.is_everywhere(&kept).await,
                    keeps,
                    "{step:?} {moment:?}"
                );
                assert!(
                    !bench.places(&text).await.contains(&true),
                    "a statement was dropped, and its unit committed: {step:?} {moment:?}"
                );
                Ran::Cut
            })
            .await;
        }
    }
    bench.world.binds.close().await;
}

/// No statement is in flight, but the savepoint was neither released nor undone.
pub(crate) async fn a_savepoint_dropped_between_two_statements_commits_nothing<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    let (text, within) = (bench.text(), bench.text());
    let mut session = bench.session();
    S::write(&session, &text).await.unwrap();
    let written = Notify::new();
    let savepoint = session.savepoint::<(), Error, _>(async |session| {
        S::write(session, &within).await?;
        written.notify_one();
        std::future::pending().await
    });
    tokio::select! {
        result = savepoint => panic!("{result:?}"),
        () = written.notified() => {}
    }
    check(
        S::echo(&session, 1).await.map(|_| ()),
        session.commit_all().await,
    );
    bench.assert_clean().await;
    assert!(!bench.is_everywhere(&text).await);
    assert!(!bench.is_everywhere(&within).await);
    bench.world.binds.close().await;
}

/// A statement of which nothing was received counts, as does the begin of a unit.
pub(crate) async fn a_unit_is_abort_only_once_a_statement_was_sent_and_dropped<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    let mut urls = bench.urls();
    let proxy = Proxy::start(&urls[0]).await;
    urls[0] = proxy.url(&urls[0]);
    let binds = binds::<S>(&bench.namespace, &urls, pool).await;
    for (sent, fault) in [
        ("the begin", Fault::after("diesel_binds")),
        ("the insert", Fault::after("INSERT")),
    ] {
        let (text, next) = (bench.text(), bench.text());
        let mut session = binds.session();
        // No database is asked for its id any more.
        S::echo(&session, 1).await.unwrap();
        session.rollback_all().await.unwrap();
        let faults = proxy.fired();
        proxy.inject(fault.stalling());
        tokio::select! {
            result = S::step(0, Step::Insert, &mut session, "", &text) => panic!("{sent}: {result:?}"),
            () = proxy.wait_fired(faults + 1) => {}
        }
        let refused = S::step(0, Step::Insert, &mut session, "", &next).await;
        assert!(
            matches!(refused, Err(Error::AbortOnly { .. })),
            "{sent}: {refused:?}"
        );
        let ended = session.commit_all().await;
        assert!(
            matches!(ended, Err(CommitError::RolledBack { .. })),
            "{sent}: {ended:?}"
        );
        // The next unit is a new one.
        S::step(0, Step::Insert, &mut session, "", &next)
            .await
            .unwrap();
        session.commit_all().await.unwrap();
        proxy.cut();
        bench.assert_clean().await;
        assert!(!bench.places(&text).await.contains(&true), "{sent}");
        assert!(bench.places(&next).await[0], "{sent}");
    }
    binds.close().await;
}

/// Asserts that a query and the commit report the same state of the unit. Returns whether the unit committed.
fn check<T>(asked: Result<(), Error>, ended: Result<T, CommitError>) -> bool {
    match (asked, ended) {
        // Nothing had been sent.
        (Ok(()), Ok(_)) => true,
        (Err(Error::AbortOnly { .. }), Err(CommitError::RolledBack { .. })) => false,
        (asked, ended) => panic!(
            "a statement was dropped: then a query says {asked:?}, the commit {:?}",
            ended.err()
        ),
    }
}
