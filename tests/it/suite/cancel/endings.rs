//! Commits and roll-backs whose future is dropped before its end.

use diesel_binds::Error;
use kit::side::PoolKind;
use kit::step::Step;
use kit::world::Sides;

use crate::suite::cancel::Bench;
use crate::suite::polls::{DropPoint, Ran, at_every_poll};

/// Once polled, the commit goes on by itself.
pub(crate) async fn a_commit_dropped_at_any_poll_still_commits_everywhere<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    at_every_poll(async |moment| {
        let (text, next) = (bench.text(), bench.text());
        let mut session = bench.session();
        S::write(&session, &text).await.unwrap();
        let output = moment.cut(session.commit_all()).await;
        if let Some(committed) = &output {
            assert!(
                committed
                    .as_ref()
                    .unwrap()
                    .committed()
                    .unwrap()
                    .pending()
                    .is_empty()
            );
        }
        if !moment.is_before_all() {
            // The session can be used again, even while the commit of its last unit runs.
            S::write(&session, &next).await.unwrap();
            session.commit_all().await.unwrap();
        }
        drop(session);
        bench.assert_clean().await;
        let expected = !moment.is_before_all();
        assert_eq!(bench.is_everywhere(&text).await, expected, "{moment:?}");
        assert_eq!(bench.is_everywhere(&next).await, expected, "{moment:?}");
        Ran::from(&output)
    })
    .await;
    bench.world.binds.close().await;
}

/// The others only read, so that it is a plain commit.
pub(crate) async fn a_commit_of_one_writer_dropped_at_any_poll_still_commits<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    for index in 0..S::keys().len() {
        at_every_poll(async |moment| {
            let text = bench.text();
            let mut session = bench.session();
            S::echo(&session, 1).await.unwrap();
            S::step(index, Step::Insert, &mut session, "", &text)
                .await
                .unwrap();
            let output = moment.cut(session.commit_all()).await;
            drop(session);
            bench.assert_clean().await;
            let places = bench.places(&text).await;
            assert_eq!(places[index], !moment.is_before_all(), "{moment:?}");
            Ran::from(&output)
        })
        .await;
    }
    bench.world.binds.close().await;
}

pub(crate) async fn a_roll_back_dropped_at_any_poll_keeps_nothing<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    at_every_poll(async |moment| {
        let text = bench.text();
        let mut session = bench.session();
        S::write(&session, &text).await.unwrap();
        let output = moment.cut(session.rollback_all()).await;
        drop(session);
        bench.assert_clean().await;
        assert!(!bench.is_everywhere(&text).await);
        Ran::from(&output)
    })
    .await;
    bench.world.binds.close().await;
}

pub(crate) async fn a_commit_of_one_bind_dropped_at_any_poll_keeps_no_other<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    for index in 0..S::keys().len() {
        at_every_poll(async |moment| {
            let text = bench.text();
            let mut session = bench.session();
            S::write(&session, &text).await.unwrap();
            let output = moment.cut(S::commit(index, &mut session)).await;
            drop(session);
            bench.assert_clean().await;
            for (place, is_there) in bench.places(&text).await.into_iter().enumerate() {
                let expected = place == index && !moment.is_before_all();
                assert_eq!(is_there, expected, "{moment:?}");
            }
            Ran::from(&output)
        })
        .await;
    }
    bench.world.binds.close().await;
}

pub(crate) async fn a_closure_dropped_at_any_poll_is_kept_everywhere_or_nowhere<S: Sides>(
    pool: PoolKind,
) {
    let mut bench = Bench::<S>::new(pool).await;
    at_every_poll(async |moment| {
        let text = bench.text();
        let output = moment
            .cut(
                bench
                    .world
                    .binds
                    .transaction::<_, Error, _>(async |session| {
                        S::write(session, &text).await?;
                        S::echo(session, 3).await
                    }),
            )
            .await;
        bench.assert_clean().await;
        let kept = bench.is_everywhere(&text).await;
        if let Some(result) = &output {
            result.as_ref().unwrap();
            assert!(kept);
        }
        Ran::from(&output)
    })
    .await;
    bench.world.binds.close().await;
}

/// The commit of an abort-only unit is dropped.
pub(crate) async fn a_refused_commit_dropped_at_any_poll_keeps_nothing<S: Sides>(pool: PoolKind) {
    let mut bench = Bench::<S>::new(pool).await;
    at_every_poll(async |moment| {
        let text = bench.text();
        let mut session = bench.session();
        S::write(&session, &text).await.unwrap();
        // A fast server may answer within the first poll.
        while DropPoint::Asked(1)
            .cut(S::step(0, Step::Insert, &mut session, "", &bench.text()))
            .await
            .is_some()
        {}
        let output = moment.cut(session.commit_all()).await;
        if let Some(result) = &output {
            result.as_ref().unwrap_err();
        }
        drop(session);
        bench.assert_clean().await;
        assert!(!bench.is_everywhere(&text).await);
        Ran::from(&output)
    })
    .await;
    bench.world.binds.close().await;
}
