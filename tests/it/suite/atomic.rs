//! All or nothing, on any databases.

use diesel_binds::{CommitError, Error};
use kit::side::PoolKind;
use kit::world::{Sides, World};

pub(crate) async fn commit_all_keeps_the_unit_on_every_bind<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    for text in ["first", "second"] {
        S::write(&session, text).await.unwrap();
        let committed = session.commit_all().await.unwrap();
        assert!(committed.committed().unwrap().pending().is_empty());
        assert_eq!(committed.binds().len(), world.databases.len());
        assert_eq!(committed.gid().is_some(), world.databases.len() > 1);
    }
    for rows in S::rows(&world).await {
        assert_eq!(rows, ["first", "second"]);
    }
    world.binds.close().await;
}

pub(crate) async fn rollback_all_keeps_nothing_on_any_bind<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    S::write(&session, "gone").await.unwrap();
    session.rollback_all().await.unwrap();
    S::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    for rows in S::rows(&world).await {
        assert_eq!(rows, ["kept"]);
    }
}

pub(crate) async fn a_dropped_session_keeps_nothing_and_frees_its_connections<S: Sides>(
    pool: PoolKind,
) {
    let world = World::of::<S>(pool).await;
    for _ in 0..6 {
        // More often than a pool has connections.
        let session = world.binds.session();
        S::write(&session, "gone").await.unwrap();
    }
    let mut session = world.binds.session();
    S::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    for rows in S::rows(&world).await {
        assert_eq!(rows, ["kept"]);
    }
}

/// For a transaction that an error has aborted, Diesel reports a successful commit, and nothing is kept.
pub(crate) async fn a_swallowed_error_never_commits_half_of_a_unit<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    let mut session = world.binds.session();
    S::write(&session, "taken").await.unwrap();
    session.commit_all().await.unwrap();

    S::write(&session, "new").await.unwrap();
    assert!(matches!(
        S::write(&session, "taken").await,
        Err(Error::Query { .. })
    ));
    let result = session.commit_all().await;
    let all = S::rows(&world).await;
    match result {
        // A server that undoes only the failed statement has kept the rest, on every bind.
        Ok(_) => {
            for rows in all {
                assert_eq!(rows, ["taken", "new"]);
            }
        }
        Err(error) => {
            assert!(matches!(error, CommitError::RolledBack { .. }), "{error}");
            for rows in all {
                assert_eq!(rows, ["taken"]);
            }
        }
    }
}

pub(crate) async fn a_closure_commits_on_ok_and_rolls_back_on_err<S: Sides>(pool: PoolKind) {
    let world = World::of::<S>(pool).await;
    world
        .binds
        .transaction::<_, Error, _>(async |session| S::write(session, "kept").await)
        .await
        .unwrap();
    let refused: Result<(), Refusal> = world
        .binds
        .transaction(async |session| {
            S::write(session, "gone").await?;
            let ended = session.commit_all().await;
            assert!(matches!(ended, Err(CommitError::InsideTransaction)));
            Err(Refusal::Mine)
        })
        .await;
    assert!(matches!(refused, Err(Refusal::Mine)));
    for rows in S::rows(&world).await {
        assert_eq!(rows, ["kept"]);
    }
}

#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("mine")]
    Mine,
    #[error(transparent)]
    Database(#[from] Error),
}
