//! Nested work: it joins the unit, stands alone, or is refused.

use diesel_binds::error::{AbortReason, Fault};
use diesel_binds::{CommitError, Error, Propagation, Session};
use futures_util::FutureExt as _;
use kit::side::PoolKind;
use kit::world::{Sides, World};

async fn are<S: Sides>(world: &World, expected: &[&str]) {
    for rows in S::rows(world).await {
        assert_eq!(rows, expected);
    }
}

async fn write<S: Sides>(
    session: &mut Session,
    propagation: Propagation,
    text: &str,
) -> Result<(), Error> {
    session
        .transaction(propagation, async |session| S::write(session, text).await)
        .await
}

/// Outside of a unit, nested work is a unit of its own that ends with the call.
pub(crate) async fn work_that_is_in_no_unit_is_one<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    let all = [Propagation::Join, Propagation::New, Propagation::Never];
    let texts = ["join", "new", "never"];
    for (index, (propagation, text)) in all.into_iter().zip(texts).enumerate() {
        write::<S>(&mut session, propagation, text).await.unwrap();
        are::<S>(&world, &texts[..=index]).await;
        // The row exists already.
        write::<S>(&mut session, propagation, text)
            .await
            .unwrap_err();
        are::<S>(&world, &texts[..=index]).await;
    }
    session
        .transaction::<_, Error, _>(Propagation::Join, async |session| {
            assert!(matches!(
                session.commit_all().await,
                Err(CommitError::InsideTransaction)
            ));
            Ok(())
        })
        .await
        .unwrap();
}

pub(crate) async fn joined_work_is_kept_or_lost_with_its_unit<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    S::write(&session, "outer").await.unwrap();
    write::<S>(&mut session, Propagation::Join, "inner")
        .await
        .unwrap();
    are::<S>(&world, &[]).await;
    session.rollback_all().await.unwrap();
    are::<S>(&world, &[]).await;
    world
        .binds
        .transaction::<_, Error, _>(async |session| {
            // Nothing has begun, but the outer closure decides.
            write::<S>(session, Propagation::Join, "inner").await?;
            are::<S>(&world, &[]).await;
            S::write(session, "outer").await
        })
        .await
        .unwrap();
    are::<S>(&world, &["inner", "outer"]).await;
}

/// Ignoring the error of nested work does not commit the half that it did.
pub(crate) async fn joined_work_that_fails_takes_its_unit_along<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    S::write(&session, "outer").await.unwrap();
    let failed = session
        .transaction::<(), Error, _>(Propagation::Join, async |session| {
            S::write(session, "half").await?;
            Err(Error::InsideUnit)
        })
        .await;
    failed.unwrap_err();
    let refused = S::write(&session, "more").await;
    assert!(
        matches!(
            refused,
            Err(Error::AbortOnly {
                reason: AbortReason::NestedWorkFailed,
                ..
            })
        ),
        "{refused:?}"
    );
    let refused = session.commit_all().await;
    assert!(
        matches!(
            refused,
            Err(CommitError::RolledBack {
                source: Fault::NestedWorkFailed,
                ..
            })
        ),
        "{refused:?}"
    );
    are::<S>(&world, &[]).await;
    // Within a savepoint, the whole unit is abort-only as well.
    S::write(&session, "outer").await.unwrap();
    let swallowed = session
        .savepoint::<(), Error, _>(async |session| {
            let _ = write::<S>(session, Propagation::Join, "outer").await;
            Ok(())
        })
        .await;
    swallowed.unwrap_err();
    session.commit_all().await.unwrap_err();
    are::<S>(&world, &[]).await;
}

pub(crate) async fn new_work_stands_alone<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    let unit = session.unit();
    let failed: Result<(), Error> = session
        .savepoint(async |session| {
            session
                .transaction::<_, Error, _>(Propagation::New, async |session| {
                    assert_ne!(session.unit(), unit);
                    S::write(session, "alone").await
                })
                .await?;
            are::<S>(&world, &["alone"]).await;
            Err(Error::InsideUnit)
        })
        .await;
    failed.unwrap_err();
    // The failure of independent work leaves the unit unchanged.
    write::<S>(&mut session, Propagation::New, "alone")
        .await
        .unwrap_err();
    S::write(&session, "outer").await.unwrap();
    session.rollback_all().await.unwrap();
    are::<S>(&world, &["alone"]).await;
}

pub(crate) async fn work_that_must_stand_alone_is_refused_within_a_unit<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let refused = async |session: &mut Session| {
        let refused = write::<S>(session, Propagation::Never, "refused").await;
        assert!(matches!(refused, Err(Error::InsideUnit)), "{refused:?}");
        Ok::<_, Error>(())
    };
    let binds = &world.binds;
    binds.transaction(refused).await.unwrap();
    let mut session = binds.session();
    session.savepoint(refused).await.unwrap();
    session
        .transaction(Propagation::Join, refused)
        .await
        .unwrap();
    S::read(&session).await.unwrap();
    refused(&mut session).await.unwrap();
    session.rollback_all().await.unwrap();
    write::<S>(&mut session, Propagation::Never, "kept")
        .await
        .unwrap();
    are::<S>(&world, &["kept"]).await;
}

/// The progress of dropped work is unknown.
pub(crate) async fn joined_work_that_is_dropped_leaves_only_the_roll_back<S: Sides>(
    pool: PoolKind,
) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    for outer in [false, true] {
        if outer {
            S::write(&session, "outer").await.unwrap();
        }
        let dropped = session
            .transaction::<(), Error, _>(Propagation::Join, async |_| std::future::pending().await)
            .now_or_never();
        assert!(dropped.is_none());
        let refused = session.commit_all().await;
        assert!(
            matches!(
                refused,
                Err(CommitError::RolledBack {
                    source: Fault::Incomplete,
                    ..
                })
            ),
            "{refused:?}"
        );
    }
    are::<S>(&world, &[]).await;
}
