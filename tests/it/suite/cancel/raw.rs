//! Statements of the application on the raw connection, and concurrent statements on one session.

use std::pin::pin;

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::{Bind, CommitError, Error, Session};
use futures_util::{FutureExt as _, TryStreamExt as _};
use kit::side::{PoolKind, Side};
use kit::world::Sides;
use tokio::time::timeout;

use crate::suite::cancel::{Bench, LONG, assert_answers};
use crate::suite::polls::{DropPoint, Ran, at_every_poll};

/// The next step of the unit on a connection that may read late replies.
#[derive(Clone, Copy, Debug)]
enum Next {
    AskTheSession,
    AskTheConnection,
    Savepoint,
    Commit,
    CommitAlone,
    RollBack,
    Leave,
}

impl Next {
    const ALL: [Self; 7] = [
        Self::AskTheSession,
        Self::AskTheConnection,
        Self::Savepoint,
        Self::Commit,
        Self::CommitAlone,
        Self::RollBack,
        Self::Leave,
    ];
}

/// On MySQL, every later reply would belong to the statement before.
pub(crate) async fn a_raw_statement_dropped_at_any_poll_falsifies_no_reply<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    for next in Next::ALL {
        at_every_poll(async |moment| {
            let text = bench.text();
            let mut session = bench.session();
            <(A, B)>::write(&session, &text).await.unwrap();
            let mut connection = session.connection(A::bind()).await.unwrap();
            let output = moment.cut(A::echo_raw(connection.raw().unwrap(), 31)).await;
            let ran = Ran::from(&output);
            if let Some(answer) = output {
                assert_eq!(answer.unwrap(), 31);
            }
            if matches!(next, Next::AskTheConnection) {
                truthful(A::echo_on(&connection, 32).await, 32);
            }
            drop(connection);
            let kept = follow::<A, B>(next, &mut session).await;
            drop(session);
            bench.assert_clean().await;
            let places = bench.places(&text).await;
            match next {
                Next::CommitAlone => assert_eq!(places, [kept, false], "{next:?} {moment:?}"),
                _ => assert_eq!(places, [kept, kept], "{next:?} {moment:?}"),
            }
            if ran == Ran::Whole && !matches!(next, Next::RollBack | Next::Leave) {
                assert!(kept, "nothing was wrong: {next:?}");
            }
            ran
        })
        .await;
    }
    bench.world.binds.close().await;
}

/// diesel-async panics if its connection is examined while the future of a statement lives. On PostgreSQL, that future
/// also keeps the connection open.
pub(crate) async fn a_unit_is_rolled_back_after_a_leaked_raw_statement<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    let text = bench.text();
    let mut session = bench.session();
    <(A, B)>::write(&session, &text).await.unwrap();
    let mut connection = session.connection(A::bind()).await.unwrap();
    let mut statement = Box::pin(A::echo_raw(connection.raw().unwrap(), 31));
    let _ = statement.as_mut().now_or_never();
    std::mem::forget(statement);
    drop(connection);
    let ended = session.rollback_all().await;
    assert!(
        matches!(ended, Ok(()) | Err(CommitError::TransactionEnded { .. })),
        "{ended:?}"
    );
    assert_eq!(A::echo(&session, 35).await.unwrap(), 35);
    assert_eq!(bench.places(&text).await, [false, false]);
}

/// Goes on with the unit, and returns whether it committed.
async fn follow<A: Side, B: Side>(next: Next, session: &mut Session) -> bool
where
    (A, B): Sides,
{
    match next {
        Next::AskTheSession => {
            truthful(A::echo(session, 33).await, 33);
            rolled_back_or_committed(session.commit_all().await)
        }
        Next::Savepoint => {
            let result = session
                .savepoint::<_, Error, _>(async |session| A::echo(session, 34).await)
                .await;
            truthful(result, 34);
            rolled_back_or_committed(session.commit_all().await)
        }
        Next::AskTheConnection | Next::Commit => {
            rolled_back_or_committed(session.commit_all().await)
        }
        Next::CommitAlone => match session.commit_only(A::bind()).await {
            Ok(_) => true,
            Err(Error::Commit(error)) => rolled_back_or_committed::<()>(Err(error)),
            Err(error) => panic!("{error:?}"),
        },
        Next::RollBack => {
            session.rollback_all().await.unwrap();
            assert_eq!(A::echo(session, 35).await.unwrap(), 35);
            false
        }
        Next::Leave => false,
    }
}

fn truthful(answer: Result<i64, Error>, expected: i64) {
    match answer {
        Ok(answer) => assert_eq!(answer, expected),
        Err(Error::AbortOnly { .. }) => {}
        Err(error) => panic!("{error:?}"),
    }
}

fn rolled_back_or_committed<T>(ended: Result<T, CommitError>) -> bool {
    match ended {
        Ok(_) => true,
        Err(CommitError::RolledBack { pending, .. }) => {
            assert!(pending.is_empty());
            false
        }
        Err(error) => panic!("{error:?}"),
    }
}

/// A `transaction` on the raw connection is a savepoint.
pub(crate) async fn a_nested_transaction_dropped_at_any_poll_is_not_kept_by_half<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    at_every_poll(async |moment| {
        let (text, first, second) = (bench.text(), bench.text(), bench.text());
        let mut session = bench.session();
        <(A, B)>::write(&session, &text).await.unwrap();
        let mut connection = session.connection(A::bind()).await.unwrap();
        let insert = |text: &str| format!("INSERT INTO notes (text) VALUES ('{text}')");
        let (insert_first, insert_second) = (insert(&first), insert(&second));
        let nested = nested(connection.raw().unwrap(), &insert_first, &insert_second);
        let output = moment.cut(nested).await;
        if let Some(result) = &output {
            result.as_ref().unwrap();
        }
        drop(connection);
        let asked = A::echo(&session, 41).await;
        if let Ok(answer) = &asked {
            assert_eq!(*answer, 41);
        }
        let ended = session.commit_all().await;
        let case = format!("{moment:?}: {asked:?}, then {ended:?}");
        let kept = rolled_back_or_committed(ended);
        assert_eq!(asked.is_ok(), kept, "{case}");
        assert!(kept || output.is_none());
        bench.assert_clean().await;
        assert_eq!(bench.is_everywhere(&text).await, kept);
        let (first, second) = (bench.places(&first).await, bench.places(&second).await);
        assert_eq!(
            first, second,
            "half of a nested transaction is kept: {moment:?}"
        );
        assert!(kept || !first.contains(&true));
        Ran::from(&output)
    })
    .await;
    bench.world.binds.close().await;
}

async fn nested<C: diesel_async::AsyncConnection>(
    connection: &mut C,
    first: &str,
    second: &str,
) -> diesel::QueryResult<()> {
    connection
        .transaction(async |connection| {
            connection.batch_execute(first).await?;
            connection.batch_execute(second).await
        })
        .await
}

/// Diesel would report the commit of a transaction that is gone.
pub(crate) async fn a_commit_or_rollback_of_the_users_own_is_never_a_commit_of_the_unit<
    A: Side,
    B: Side,
>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    for statements in [
        &["COMMIT"][..],
        &["ROLLBACK"],
        &["COMMIT", "BEGIN"],
        &["ROLLBACK", "BEGIN"],
        &["ROLLBACK", "BEGIN", "SAVEPOINT other"],
    ] {
        for asks in [false, true] {
            let text = bench.text();
            let mut session = bench.session();
            <(A, B)>::write(&session, &text).await.unwrap();
            let mut connection = session.connection(A::bind()).await.unwrap();
            let mut refused = false;
            for statement in statements {
                let done = connection.raw().unwrap().batch_execute(statement).await;
                // Within an XA branch, the server refuses all of them, and the transaction stays open.
                refused |= done.is_err();
            }
            drop(connection);
            if asks {
                truthful(A::echo(&session, 51).await, 51);
            }
            let ended = session.commit_all().await;
            bench.assert_clean().await;
            let places = bench.places(&text).await;
            match ended {
                Ok(_) => {
                    assert!(refused, "{statements:?} was taken for a commit of the unit");
                    assert_eq!(places, [true, true]);
                }
                Err(CommitError::TransactionEnded { bind, pending, .. }) => {
                    assert_eq!(bind, <A::Bind as Bind>::KEY);
                    assert!(pending.is_empty());
                    assert!(!places[1], "the other bind is rolled back");
                }
                Err(CommitError::RolledBack { .. }) => {
                    assert_eq!(
                        places,
                        [false, false],
                        "{statements:?} says that nothing is kept"
                    );
                }
                Err(error) => panic!("{statements:?}: {error:?}"),
            }
        }
    }
    bench.world.binds.close().await;
}

pub(crate) async fn two_queries_run_at_once_on_two_binds_and_in_turn_on_one<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    let (one, two, three) = (bench.text(), bench.text(), bench.text());
    let mut session = bench.session();
    // Both binds begin here.
    let (a, b) = tokio::join!(A::write(&session, &one), B::write(&session, &one));
    assert_eq!((a.unwrap(), b.unwrap()), (1, 1));
    let (a, again, b) = tokio::join!(
        A::write(&session, &two),
        A::write(&session, &three),
        B::echo(&session, 61),
    );
    assert_eq!((a.unwrap(), again.unwrap(), b.unwrap()), (1, 1, 61));
    let (first, second) = tokio::join!(A::echo(&session, 62), A::echo(&session, 63));
    assert_eq!((first.unwrap(), second.unwrap()), (62, 63));
    session.commit_all().await.unwrap();
    assert!(bench.is_everywhere(&one).await);
    assert_eq!(bench.places(&two).await, [true, false]);
    assert_eq!(bench.places(&three).await, [true, false]);

    // Two first queries on one bind begin once.
    let (first, second) = tokio::join!(A::echo(&session, 64), A::echo(&session, 65));
    assert_eq!((first.unwrap(), second.unwrap()), (64, 65));
    drop(session);
    bench.assert_clean().await;
    bench.world.binds.close().await;
}

/// One of two queries on a bind is dropped while the other waits for its turn.
pub(crate) async fn a_query_that_waits_for_a_dropped_one_does_not_run<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    at_every_poll(async |moment| {
        let (text, dropped, waits) = (bench.text(), bench.text(), bench.text());
        let mut session = bench.session();
        <(A, B)>::write(&session, &text).await.unwrap();
        let (output, waited) = tokio::join!(
            moment.cut(A::write(&session, &dropped)),
            A::write(&session, &waits)
        );
        let ran = Ran::from(&output);
        let kept = match waited {
            Ok(rows) => {
                assert_eq!(rows, 1);
                session.commit_all().await.unwrap();
                true
            }
            Err(Error::AbortOnly { .. }) => rolled_back_or_committed(session.commit_all().await),
            Err(error) => panic!("{error:?}"),
        };
        bench.assert_clean().await;
        assert_eq!(bench.is_everywhere(&text).await, kept);
        assert_eq!(bench.places(&waits).await, [kept, false]);
        assert_eq!(bench.places(&dropped).await, [ran == Ran::Whole, false]);
        ran
    })
    .await;
    bench.world.binds.close().await;
}

/// Otherwise the query could wait for itself.
pub(crate) async fn a_query_on_a_held_bind_fails_at_once<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    for text in ["one", "two", "three"] {
        let mut session = bench.session();
        <(A, B)>::write(&session, text).await.unwrap();
        session.commit_all().await.unwrap();
    }
    let mut session = bench.session();
    {
        let mut rows = pin!(A::stream(&session).await.unwrap());
        assert_eq!(rows.try_next().await.unwrap().as_deref(), Some("one"));
        busy(at_once(A::echo(&session, 1)).await);
        busy(at_once(session.connection(A::bind())).await);
        busy(at_once(A::stream(&session)).await.map(|_| ()));
        // The other bind can be queried.
        assert_eq!(B::echo(&session, 71).await.unwrap(), 71);
        assert_eq!(rows.try_next().await.unwrap().as_deref(), Some("two"));
    }
    // The stream was dropped between two rows: its other rows are skipped.
    assert_answers::<(A, B)>(&session, 72).await;
    {
        let connection = session.connection(A::bind()).await.unwrap();
        busy(at_once(A::echo(&session, 1)).await);
        assert_eq!(A::echo_on(&connection, 73).await.unwrap(), 73);
        assert_eq!(B::echo(&session, 74).await.unwrap(), 74);
    }
    assert_answers::<(A, B)>(&session, 75).await;
    session.commit_all().await.unwrap();
    bench.assert_clean().await;
    bench.world.binds.close().await;
}

/// The second query was in the queue before the first one took the bind for good.
pub(crate) async fn a_query_that_waits_learns_that_its_bind_is_held<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    let text = bench.text();
    let session = bench.session();
    {
        // The second query has to wait while the first begins. The first then holds the bind until the second is done.
        // So the second must not wait for it.
        let mut first = pin!(hold::<A>(&session));
        let held = DropPoint::Asked(1).cut(&mut first).await;
        assert!(held.is_none(), "it is held for ever");
        tokio::select! {
            answer = at_once(A::write(&session, &text)) => busy(answer),
            () = &mut first => unreachable!("it is held for ever"),
        }
    }
    drop(session);
    bench.assert_clean().await;
    bench.world.binds.close().await;
}

async fn hold<A: Side>(session: &Session) {
    let _connection = session.connection(A::bind()).await.unwrap();
    std::future::pending::<()>().await;
}

/// Fails if a query hangs.
async fn at_once<T>(query: impl Future<Output = T>) -> T {
    timeout(LONG, query).await.expect("the query hangs")
}

fn busy<T>(result: Result<T, Error>) {
    match result {
        Err(Error::BindBusy { .. }) => {}
        Err(error) => panic!("{error:?}"),
        Ok(_) => panic!("the bind is held, and was given away"),
    }
}

pub(crate) async fn a_raw_connection_sees_what_the_unit_wrote<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let mut bench = Bench::<(A, B)>::new(pool).await;
    let text = bench.text();
    let mut session = bench.session();
    let mut connection = session.connection(A::bind()).await.unwrap();
    let insert = format!("INSERT INTO notes (text) VALUES ('{text}')");
    let inserted = connection.raw().unwrap().batch_execute(&insert);
    inserted.boxed().await.unwrap();
    drop(connection);
    assert_eq!(A::read(&session).await.unwrap(), [text.as_str()]);
    B::write(&session, &text).await.unwrap();
    session.commit_all().await.unwrap();
    assert!(bench.is_everywhere(&text).await);
    bench.assert_clean().await;
    bench.world.binds.close().await;
}
