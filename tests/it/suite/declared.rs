//! Binds that a unit declares are begun together, in the order of the registry.

use diesel_binds::{Bind, Error, SessionOptions};
use kit::side::{PoolKind, Side};
use kit::world::Sides;

use crate::suite::cancel::Bench;
use crate::suite::polls::{Ran, at_every_poll};

/// The first query on any bind begins on all binds, and so does that of the next unit.
pub(crate) async fn the_first_query_begins_on_all_declared_binds<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let bench = Bench::<(A, B)>::new(pool).await;
    let options = SessionOptions::new().uses(B::bind()).uses(A::bind());
    let mut session = bench.world.binds.with(options).session();
    for number in 0..2 {
        B::write(&session, &format!("text {number}")).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        let mut binds = committed.binds().to_vec();
        binds.sort_unstable();
        let mut keys = [A::Bind::KEY, B::Bind::KEY];
        keys.sort_unstable();
        assert_eq!(binds, keys);
    }
    assert_eq!(bench.places("text 1").await, [false, true]);
}

/// Two concurrent first queries begin once.
pub(crate) async fn two_first_queries_at_once_share_what_is_begun<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    let options = SessionOptions::new().uses(A::bind()).uses(B::bind());
    let mut session = bench.world.binds.with(options).session();
    let (a, b) = tokio::join!(A::write(&session, "both"), B::write(&session, "both"));
    a.unwrap();
    b.unwrap();
    session.commit_all().await.unwrap();
    assert!(bench.is_everywhere("both").await);
    bench.assert_clean().await;
}

/// A bind that is not registered is an error of the first query, and nothing is begun.
pub(crate) async fn a_declared_bind_must_be_registered<A: Side, B: Side>(pool: PoolKind)
where
    (A,): Sides,
{
    let mut bench = Bench::<(A,)>::new(pool).await;
    let options = SessionOptions::new().uses(A::bind()).uses(B::bind());
    let session = bench.world.binds.with(options).session();
    let refused = A::write(&session, "nothing").await;
    assert!(
        matches!(refused, Err(Error::UnknownBind { bind }) if bind == B::Bind::KEY),
        "{refused:?}"
    );
    bench.assert_clean().await;
}

/// A first query that is dropped during the begin leaves nothing, and the unit commits whole or not at all.
pub(crate) async fn a_first_query_may_be_dropped_at_any_poll<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    at_every_poll(async |moment| {
        let text = bench.text();
        let rest = bench.text();
        let options = SessionOptions::new().uses(B::bind()).uses(A::bind());
        let mut session = bench.world.binds.with(options).session();
        let ran = Ran::from(&moment.cut(A::write(&session, &text)).await);
        let committed = match <(A, B)>::write(&session, &rest).await {
            Ok(()) => session.commit_all().await.is_ok(),
            Err(_) => false,
        };
        drop(session);
        bench.settle().await;
        assert_eq!(bench.is_everywhere(&rest).await, committed);
        let written = bench.places(&text).await == [true, false];
        assert_eq!(written, committed && ran == Ran::Whole, "{moment:?}");
        ran
    })
    .await;
    bench.assert_clean().await;
}
