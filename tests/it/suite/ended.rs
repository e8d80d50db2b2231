//! A transaction that ends unnoticed by the unit: no later write commits by itself.

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::{BindOptions, CommitError, Error};
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World, binds};

/// The application runs `COMMIT` on the raw connection. A later statement of the session must not run without a
/// transaction: it would commit by itself, and no roll-back could undo it.
pub(crate) async fn nothing_commits_by_itself_after_a_raw_commit<S: Side>(pool: PoolKind)
where
    (S,): Sides,
    <S::Bind as diesel_binds::Bind>::Connection: diesel_async::SimpleAsyncConnection,
{
    let world = World::of::<(S,)>(pool).await;
    let mut session = world.binds.session();
    S::write(&session, "before").await.unwrap();
    let mut connection = session.connection(S::bind()).await.unwrap();
    connection
        .raw()
        .unwrap()
        .batch_execute("COMMIT")
        .await
        .unwrap();
    drop(connection);
    let written = S::write(&session, "after").await;
    let refused = session.rollback_all().await;
    assert!(
        matches!(refused, Err(CommitError::TransactionEnded { .. })),
        "the work before is kept, and the roll-back says {refused:?}"
    );
    assert_eq!(
        S::rows(&world.databases[0]).await,
        ["before"],
        "{written:?}"
    );

    let mut session = world.binds.session();
    S::write(&session, "again").await.unwrap();
    let mut connection = session.connection(S::bind()).await.unwrap();
    connection
        .raw()
        .unwrap()
        .batch_execute("COMMIT")
        .await
        .unwrap();
    drop(connection);
    let ended = session.commit_all().await;
    assert!(
        matches!(ended, Err(CommitError::TransactionEnded { .. })),
        "{ended:?}"
    );
}

/// The `COMMIT` is text on the session itself, which does not parse it.
pub(crate) async fn nothing_commits_by_itself_after_a_commit_in_text<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let endings = [
        &["COMMIT"][..],
        &["ROLLBACK"],
        &["COMMIT", "START TRANSACTION"],
        &["COMMIT", "BEGIN"],
    ];
    // If nothing is written afterwards, only the marker in the last message reveals the end.
    for (statements, writes) in endings.iter().flat_map(|s| [(s, true), (s, false)]) {
        let world = World::of::<(S,)>(pool).await;
        let mut session = world.binds.session();
        S::write(&session, "before").await.unwrap();
        let mut ends = true;
        for statement in *statements {
            // Not every backend has each of these statements.
            ends &= S::sql(&session, statement).await.is_ok();
        }
        let written = match writes {
            true => S::write(&session, "after").await.map(drop),
            false => Ok(()),
        };
        let ended = session.commit_all().await;
        assert!(
            !ends || matches!(ended, Err(CommitError::TransactionEnded { .. })),
            "{statements:?}: {ended:?}"
        );
        let rows = S::rows(&world.databases[0]).await;
        assert!(
            ended.is_ok() || !rows.contains(&"after".to_owned()),
            "{statements:?} let {rows:?} commit by themselves: {written:?}, {ended:?}"
        );
        world.binds.close().await;
    }
}

/// SQLite rolls back by itself. The application ignores the error and goes on.
pub(crate) async fn nothing_commits_by_itself_after_an_error_that_rolled_back<S: Side>(
    pool: PoolKind,
) where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    S::admin(
        &world.databases[0],
        "CREATE TRIGGER refuse BEFORE INSERT ON notes WHEN new.text = 'taken' \
         BEGIN SELECT RAISE(ROLLBACK, 'refused'); END",
    )
    .await;
    let mut session = world.binds.session();
    S::write(&session, "before").await.unwrap();
    S::write(&session, "taken").await.unwrap_err();
    assert!(matches!(
        S::write(&session, "after").await,
        Err(Error::AbortOnly { .. })
    ));
    session.commit_all().await.unwrap_err();
    assert!(S::rows(&world.databases[0]).await.is_empty());
}

/// MariaDB rolls back a plain transaction that it chose as the victim of a deadlock, and then commits each statement by
/// itself.
pub(crate) async fn nothing_commits_by_itself_after_a_deadlock<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let databases = <(S,) as Sides>::databases().await;
    S::admin(
        &databases[0],
        "INSERT INTO notes (text) VALUES ('one'), ('two')",
    )
    .await;
    let urls = [databases[0].url().to_owned()];
    let binds = binds::<(S,)>(&urls, pool, &BindOptions::new()).await;
    let (mut first, mut second) = (binds.session(), binds.session());
    S::rename(&first, "one", "one!").await.unwrap();
    S::rename(&second, "two", "two!").await.unwrap();
    let (one, two) = tokio::join!(
        S::rename(&first, "two", "two?"),
        S::rename(&second, "one", "one?"),
    );
    let (victim, other, error) = match (one, two) {
        (Err(error), Ok(_)) => (&mut first, &mut second, error),
        (Ok(_), Err(error)) => (&mut second, &mut first, error),
        neither => panic!("no deadlock: {neither:?}"),
    };
    assert!(matches!(error, Error::Query { .. }));
    other.rollback_all().await.unwrap();
    // The error is ignored, and the next write must not be kept.
    S::write(victim, "after").await.unwrap();
    victim.rollback_all().await.unwrap();
    assert_eq!(S::rows(&databases[0]).await, ["one", "two"]);
    S::write(victim, "next").await.unwrap();
    victim.commit_all().await.unwrap();
    assert_eq!(S::rows(&databases[0]).await, ["one", "two", "next"]);
}

/// The application sends the library's own statements as text: none of its transactions can pass for that of the unit.
pub(crate) async fn no_text_forges_the_mark_of_a_unit<S: Side>(pool: PoolKind)
where
    (S,): Sides,
    <S::Bind as diesel_binds::Bind>::Connection: diesel_async::SimpleAsyncConnection,
{
    let world = World::of::<(S,)>(pool).await;
    for name in ["diesel_binds", "diesel_binds_unit_"] {
        let before = S::rows(&world.databases[0]).await;

        // To go back to a mark that does not exist is an error, and undoes nothing.
        let mut session = world.binds.session();
        S::write(&session, &format!("{name} one")).await.unwrap();
        let back = S::sql(&session, &format!("ROLLBACK TO SAVEPOINT {name}")).await;
        assert!(back.is_err(), "{name}: {back:?}");
        session.rollback_all().await.unwrap();

        // Another transaction with a mark of that name is not the unit's.
        let mut session = world.binds.session();
        S::write(&session, &format!("{name} two")).await.unwrap();
        let mut connection = session.connection(S::bind()).await.unwrap();
        let forged = format!("COMMIT; BEGIN; SAVEPOINT {name}");
        let _ = connection.raw().unwrap().batch_execute(&forged).await;
        drop(connection);
        let _ = S::write(&session, &format!("{name} three")).await;
        let undone = session.rollback_all().await;
        let kept = S::rows(&world.databases[0]).await != before;
        assert_eq!(undone.is_err(), kept, "{name}: {undone:?}");
    }
}
