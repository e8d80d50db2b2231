//! Savepoints over all binds of a session, including binds that join while they are open.

use diesel_binds::{CommitError, Error};
use futures_util::FutureExt as _;
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World};

use crate::suite::closures::Refusal;

async fn are<A: Side, B: Side>(world: &World, expected: &[&str])
where
    (A, B): Sides,
{
    for rows in <(A, B)>::rows(world).await {
        assert_eq!(rows, expected);
    }
}

pub(crate) async fn a_savepoint_is_kept_on_ok_and_undone_on_err<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    <(A, B)>::write(&session, "before").await.unwrap();
    let kept = session
        .savepoint::<_, Error, _>(async |session| {
            <(A, B)>::write(session, "kept").await?;
            Ok(7)
        })
        .await;
    assert_eq!(kept.unwrap(), 7);
    let undone: Result<(), Refusal> = session
        .savepoint(async |session| {
            <(A, B)>::write(session, "undone").await?;
            Err(Refusal::Mine)
        })
        .await;
    assert!(matches!(undone, Err(Refusal::Mine)));
    <(A, B)>::write(&session, "after").await.unwrap();
    session.commit_all().await.unwrap();
    are::<A, B>(&world, &["before", "kept", "after"]).await;
}

pub(crate) async fn savepoints_nest<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    session
        .savepoint::<_, Refusal, _>(async |session| {
            <(A, B)>::write(session, "outer").await?;
            let inner: Result<(), Refusal> = session
                .savepoint(async |session| {
                    <(A, B)>::write(session, "inner").await?;
                    session
                        .savepoint::<_, Refusal, _>(async |session| {
                            Ok(<(A, B)>::write(session, "innermost").await?)
                        })
                        .await?;
                    Err(Refusal::Mine)
                })
                .await;
            assert!(inner.is_err());
            Ok(<(A, B)>::write(session, "outer again").await?)
        })
        .await
        .unwrap();
    let outer: Result<(), Refusal> = session
        .savepoint(async |session| {
            session
                .savepoint::<_, Refusal, _>(async |session| {
                    Ok(<(A, B)>::write(session, "kept by the inner one").await?)
                })
                .await?;
            Err(Refusal::Mine)
        })
        .await;
    assert!(outer.is_err());
    session.commit_all().await.unwrap();
    are::<A, B>(&world, &["outer", "outer again"]).await;
}

pub(crate) async fn a_bind_that_joins_within_goes_back_to_its_begin<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    A::write(&session, "before").await.unwrap();
    let outer: Result<(), Error> = session
        .savepoint(async |session| {
            let inner: Result<(), Refusal> = session
                .savepoint(async |session| {
                    // This bind joins within two savepoints.
                    B::write(session, "undone").await?;
                    A::write(session, "undone").await?;
                    Err(Refusal::Mine)
                })
                .await;
            assert!(inner.is_err());
            B::write(session, "kept").await?;
            A::write(session, "kept").await.map(drop)
        })
        .await;
    outer.unwrap();
    let undone: Result<(), Refusal> = session
        .savepoint(async |session| {
            B::write(session, "gone").await?;
            Err(Refusal::Mine)
        })
        .await;
    assert!(undone.is_err());
    session.commit_all().await.unwrap();
    assert_eq!(A::rows(&world.databases[0]).await, ["before", "kept"]);
    assert_eq!(B::rows(&world.databases[1]).await, ["kept"]);
}

/// After an error, PostgreSQL accepts only the return to a savepoint.
pub(crate) async fn an_sql_error_within_is_undone<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    <(A, B)>::write(&session, "taken").await.unwrap();
    let failed: Result<(), Error> = session
        .savepoint(async |session| {
            <(A, B)>::write(session, "undone").await?;
            B::write(session, "taken").await?;
            Ok(())
        })
        .await;
    assert!(matches!(failed, Err(Error::Query { .. })), "{failed:?}");
    <(A, B)>::write(&session, "after").await.unwrap();
    session.commit_all().await.unwrap();
    are::<A, B>(&world, &["taken", "after"]).await;
}

/// An error that the closure ignores must not commit a part of its work.
pub(crate) async fn an_sql_error_swallowed_within_never_keeps_half<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    <(A, B)>::write(&session, "taken").await.unwrap();
    let kept: Result<(), Error> = session
        .savepoint(async |session| {
            <(A, B)>::write(session, "within").await?;
            let _ = A::write(session, "taken").await;
            Ok(())
        })
        .await;
    let committed = session.commit_all().await;
    match (kept, committed) {
        (Ok(()), Ok(_)) => are::<A, B>(&world, &["taken", "within"]).await,
        (Err(_), Err(CommitError::RolledBack { .. })) => are::<A, B>(&world, &[]).await,
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn a_unit_cannot_be_ended_within<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    let done: Result<(), Error> = session
        .savepoint(async |session| {
            <(A, B)>::write(session, "kept").await?;
            assert!(matches!(
                session.commit_all().await,
                Err(CommitError::InsideTransaction)
            ));
            assert!(matches!(
                session.rollback_all().await,
                Err(CommitError::InsideTransaction)
            ));
            assert!(matches!(
                session.commit_only(A::bind()).await,
                Err(Error::Commit(CommitError::InsideTransaction))
            ));
            <(A, B)>::write(session, "too").await
        })
        .await;
    done.unwrap();
    session.commit_all().await.unwrap();
    are::<A, B>(&world, &["kept", "too"]).await;
}

pub(crate) async fn a_dropped_savepoint_leaves_only_the_roll_back<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    <(A, B)>::write(&session, "before").await.unwrap();
    {
        let (reached, within) = tokio::sync::oneshot::channel();
        let reached = std::sync::Mutex::new(Some(reached));
        let savepoint = session.savepoint::<(), Error, _>(async |session| {
            <(A, B)>::write(session, "within").await?;
            if let Some(reached) = reached.lock().unwrap().take() {
                reached.send(()).unwrap();
            }
            std::future::pending().await
        });
        tokio::select! {
            _ = savepoint => panic!("it never ends"),
            reached = within => reached.unwrap(),
        }
    }
    assert!(matches!(
        A::write(&session, "after").await,
        Err(Error::AbortOnly { .. })
    ));
    let another: Result<(), Error> = session.savepoint(async |_| Ok(())).await;
    assert!(matches!(another, Err(Error::AbortOnly { .. })));
    assert!(matches!(
        session.commit_all().await,
        Err(CommitError::RolledBack { .. })
    ));
    are::<A, B>(&world, &[]).await;
    <(A, B)>::write(&session, "fresh").await.unwrap();
    session.commit_all().await.unwrap();
    are::<A, B>(&world, &["fresh"]).await;
}

/// The application must see its own error, not the state of the unit, which the next call reports.
pub(crate) async fn an_error_is_the_closures_own_even_where_nothing_can_be_undone<
    A: Side,
    B: Side,
>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    <(A, B)>::write(&session, "before").await.unwrap();
    let failed: Result<(), Refusal> = session
        .savepoint(async |session| {
            let half = A::sql(session, A::SLOW).now_or_never();
            assert!(half.is_none(), "it takes some seconds");
            Err(Refusal::Mine)
        })
        .await;
    assert!(matches!(failed, Err(Refusal::Mine)), "{failed:?}");
    assert!(matches!(
        session.commit_all().await,
        Err(CommitError::RolledBack { .. })
    ));
    are::<A, B>(&world, &[]).await;
}
