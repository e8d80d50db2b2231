//! Units as closures, one bind committed apart from the rest, and sessions that begin again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use diesel_binds::{
    Bind, BindOptions, Commit, CommitError, Error, Propagation, Session, SessionOptions,
};
use futures_util::FutureExt as _;
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World};

/// An error of an application.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("mine")]
    Mine,
    #[error(transparent)]
    Database(#[from] Error),
}

async fn are<S: Sides>(world: &World, expected: &[&str]) {
    for rows in S::rows(world).await {
        assert_eq!(rows, expected);
    }
}

/// Asserts that nothing of a unit is left, and that its connections can be used.
async fn assert_works<S: Sides>(world: &World) {
    for text in ["works", "and again"] {
        world
            .binds
            .transaction::<_, Error, _>(async |session| S::write(session, text).await)
            .await
            .unwrap();
    }
    are::<S>(world, &["works", "and again"]).await;
}

pub(crate) async fn a_closure_gets_the_result_of_its_commit<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let (seven, committed): (i32, Commit) = world
        .binds
        .with(SessionOptions::new())
        .transaction_with_commit::<_, Error, _>(async |session| {
            S::write(session, "kept").await?;
            Ok(7)
        })
        .await
        .unwrap();
    assert_eq!(seven, 7);
    assert_eq!(committed.binds().len(), world.databases.len());
    assert_eq!(committed.gid().is_some(), world.databases.len() > 1);
    let refused = world
        .binds
        .with(SessionOptions::new().read_only())
        .transaction::<(), Error, _>(async |session| S::write(session, "refused").await)
        .await;
    assert!(matches!(refused, Err(Error::ReadOnly { .. })));
    are::<S>(&world, &["kept"]).await;
}

pub(crate) async fn a_closure_that_runs_once_may_move_what_it_captures<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let moved = String::from("moved");
    let text = world
        .binds
        .transaction::<_, Error, _>(async move |session| {
            S::write(session, &moved).await?;
            Ok(moved)
        })
        .await
        .unwrap();
    let refused = world
        .binds
        .transaction::<(), Refusal, _>(async move |session| {
            S::write(session, "gone").await?;
            drop(text);
            Err(Refusal::Mine)
        })
        .await;
    assert!(matches!(refused, Err(Refusal::Mine)));
    are::<S>(&world, &["moved"]).await;
    let mut session = world.binds.session();
    let (mut seen, moved) = (0, String::from("moved too"));
    let text = session
        .transaction::<_, Error, _>(Propagation::Never, async |session| {
            seen += S::read(session).await?.len();
            let written = async move |session: &mut Session| {
                S::write(session, &moved).await?;
                Ok::<_, Error>(moved)
            };
            session.savepoint(written).await
        })
        .await
        .unwrap();
    assert_eq!((text.as_str(), seen), ("moved too", world.databases.len()));
    are::<S>(&world, &["moved", "moved too"]).await;
}

/// The closure borrows its captures in a task of its own: the future is `Send`.
pub(crate) async fn a_closure_borrows_within_a_task<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let binds = world.binds.clone();
    let task = tokio::spawn(async move {
        let (text, count) = (String::from("borrowed"), AtomicUsize::new(0));
        let result = binds
            .transaction::<usize, Refusal, _>(async |session| {
                S::write(session, &text).await?;
                session
                    .savepoint::<_, Refusal, _>(async |_| {
                        count.fetch_add(1, Ordering::SeqCst);
                        Ok(())
                    })
                    .await?;
                Ok(text.len())
            })
            .await;
        (result, count.into_inner())
    });
    let (result, count) = task.await.unwrap();
    assert_eq!(result.unwrap(), "borrowed".len());
    assert_eq!(count, 1);
    are::<S>(&world, &["borrowed"]).await;
}

pub(crate) async fn a_panic_rolls_back<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let panicked =
        std::panic::AssertUnwindSafe(world.binds.transaction::<(), Error, _>(async |session| {
            S::write(session, "gone").await?;
            panic!("as it should be in this test")
        }))
        .catch_unwind()
        .await;
    assert!(panicked.is_err());
    assert_works::<S>(&world).await;
}

pub(crate) async fn a_cancelled_closure_rolls_back<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let reached = Arc::new(tokio::sync::Notify::new());
    let (binds, notify) = (world.binds.clone(), Arc::clone(&reached));
    let task = tokio::spawn(async move {
        binds
            .transaction::<(), Error, _>(async |session| {
                S::write(session, "gone").await?;
                notify.notify_one();
                std::future::pending().await
            })
            .await
    });
    reached.notified().await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_works::<S>(&world).await;
}

/// A dropped statement may have run or not, whatever the closure returns.
pub(crate) async fn an_ok_over_an_abort_only_unit_is_an_error<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    let result = world
        .binds
        .transaction::<_, Error, _>(async |session| {
            S::write(session, "gone").await?;
            let half = S::sql(session, S::SLOW).now_or_never();
            assert!(half.is_none(), "it takes some seconds");
            Ok("all is well")
        })
        .await;
    assert!(
        matches!(
            result,
            Err(Error::Commit(CommitError::RolledBack { bind, .. })) if bind == S::Bind::KEY
        ),
        "{result:?}"
    );
    assert_works::<(S,)>(&world).await;
}

pub(crate) async fn a_session_is_fresh_after_each_unit<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    let mut units = vec![session.unit()];
    for (round, text) in ["first", "gone", "second"].into_iter().enumerate() {
        S::write(&session, text).await.unwrap();
        assert_eq!(session.unit(), units[round]);
        if text == "gone" {
            session.rollback_all().await.unwrap();
        } else {
            let committed = session.commit_all().await.unwrap();
            assert_eq!(committed.unit(), units[round]);
        }
        assert!(!units.contains(&session.unit()));
        units.push(session.unit());
    }
    // If nothing has begun, there is nothing to commit, and nothing can fail.
    let empty = session.commit_all().await.unwrap();
    assert!(empty.binds().is_empty() && empty.gid().is_none());
    are::<S>(&world, &["first", "second"]).await;
}

/// One bind ends apart from the others, which stay in the unit.
pub(crate) async fn one_bind_commits_apart_from_the_rest<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    <(A, B)>::write(&session, "first").await.unwrap();
    let committed = session.commit_only(A::bind()).await.unwrap();
    assert_eq!(committed.binds(), [A::Bind::KEY]);
    assert_eq!(A::rows(&world.databases[0]).await, ["first"]);

    A::write(&session, "second").await.unwrap();
    session.rollback_all().await.unwrap();
    assert_eq!(A::rows(&world.databases[0]).await, ["first"]);
    assert_eq!(B::rows(&world.databases[1]).await, [""; 0]);
    // A bind that is not in the unit has nothing to commit.
    let nothing = session.commit_only(B::bind()).await.unwrap();
    assert!(nothing.binds().is_empty());
}

/// Regression test: the recorded decision of one bind was taken for that of the unit. Prepared branches were committed
/// beside work that was rolled back.
pub(crate) async fn a_decision_of_one_bind_is_not_that_of_the_unit<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let options = BindOptions::new().record_every_commit();
    let builder = World::builder::<(A, B)>().pool(pool).options(&options);
    let world = builder.build().await;
    let mut session = world.binds.session();
    A::write(&session, "apart").await.unwrap();
    session.commit_only(A::bind()).await.unwrap();
    B::write(&session, "apart").await.unwrap();
    session.commit_only(B::bind()).await.unwrap();
    <(A, B)>::write(&session, "together").await.unwrap();
    let committed = session.commit_all().await.unwrap();
    assert!(committed.gid().is_some());
    are::<(A, B)>(&world, &["apart", "together"]).await;
}
