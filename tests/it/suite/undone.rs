//! A unit whose transaction the application has ended: no result claims that nothing of it is kept, however the unit
//! ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::{BindOptions, Binds, CommitError, Error, Session, SessionOptions};
use futures_util::FutureExt as _;
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World, binds};

/// The way in which the application ends the transaction.
#[derive(Clone, Copy, Debug)]
enum By {
    /// Statements in text, through the session.
    Text(&'static [&'static str]),
    /// A statement as a fragment of the application.
    Fragment(&'static str),
    /// Messages on the raw connection, of which the last may fail.
    Raw(&'static [&'static str]),
    /// Messages on the raw connection, followed by a typed statement, which verifies the connection.
    RawThenTyped(&'static [&'static str]),
}

/// The end of the unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Commit,
    CommitOther,
    BestEffort,
    RollBack,
    Veto,
    Drop,
    Closure,
    SavepointThenCommit,
}

impl By {
    const ALL: [Self; 9] = [
        Self::Fragment("COMMIT"),
        Self::Text(&["COMMIT"]),
        Self::Text(&["COMMIT AND CHAIN"]),
        Self::Text(&["COMMIT", "BEGIN"]),
        Self::Raw(&["COMMIT"]),
        Self::Raw(&["COMMIT", "BEGIN"]),
        Self::Raw(&["COMMIT; BEGIN; not SQL"]),
        Self::Raw(&["COMMIT", "BEGIN", "not SQL"]),
        Self::RawThenTyped(&["COMMIT", "BEGIN", "not SQL"]),
    ];

    async fn end<S: Side>(self, session: &Session) {
        match self {
            Self::Text(statements) => {
                for statement in statements {
                    // Not every backend has each of these statements, and a unit that has noticed the end runs none.
                    let _ = S::sql(session, statement).await;
                }
            }
            Self::Fragment(statement) => {
                let _ = S::fragment(session, statement).await;
            }
            Self::Raw(messages) | Self::RawThenTyped(messages) => {
                if let Ok(mut connection) = session.connection(S::bind()).await {
                    for message in messages {
                        let _ = connection.raw().unwrap().batch_execute(message).await;
                    }
                }
                if matches!(self, Self::RawThenTyped(_)) {
                    let _ = S::read(session).await;
                }
            }
        }
    }
}

impl End {
    const ALL: [Self; 8] = [
        Self::Commit,
        Self::CommitOther,
        Self::BestEffort,
        Self::RollBack,
        Self::Veto,
        Self::Drop,
        Self::Closure,
        Self::SavepointThenCommit,
    ];
}

/// Returns whether the result claims that nothing is kept, and its text.
fn claim(result: Result<(), CommitError>, of_rollback: bool) -> (bool, String) {
    let words = format!("{result:?}");
    let undone = match &result {
        Ok(()) => of_rollback,
        Err(error) => {
            assert!(
                error.is_rolled_back() || error.is_in_doubt(),
                "it is neither: {error:?}"
            );
            error.is_rolled_back()
        }
    };
    (undone, words)
}

/// A `COMMIT` of the application keeps the writes before it. Whatever ends the unit afterwards, and whatever error
/// comes in between, must not report that nothing is kept.
pub(crate) async fn a_commit_of_the_application_is_never_reported_as_rolled_back<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let urls: Vec<String> = world.databases.iter().map(|d| d.url().to_owned()).collect();
    let mut number = 0;
    for by in By::ALL {
        for end in End::ALL {
            // The first unit of several writers in a process sends more questions than later ones.
            for fresh in [true, false] {
                number += 1;
                let text = format!("mine {number}");
                // Two writers that cannot prepare are committed one after the other.
                let options = match end {
                    End::BestEffort => BindOptions::new().never_prepare(),
                    _ => BindOptions::new(),
                };
                let own = binds::<(A, B)>(&urls, pool, &options).await;
                if !fresh {
                    let mut session = own.with(SessionOptions::new().best_effort()).session();
                    <(A, B)>::write(&session, &format!("first {number}"))
                        .await
                        .unwrap();
                    session.commit_all().await.unwrap();
                }
                assert_reported_truly::<A, B>(&world, &own, (by, end), &text).await;
            }
        }
    }
    world.binds.close().await;
}

async fn assert_reported_truly<A: Side, B: Side>(
    world: &World,
    binds: &Binds,
    case: (By, End),
    text: &str,
) where
    (A, B): Sides,
{
    let (by, end) = case;
    let hooked = Arc::new(AtomicBool::new(false));
    let listen = |session: &Session| {
        let hooked = Arc::clone(&hooked);
        session.after_rollback(async move |_| hooked.store(true, Ordering::SeqCst));
    };
    let claimed = if end == End::Closure {
        let ended = binds
            .transaction(async |session| {
                listen(session);
                <(A, B)>::write(session, text).await?;
                by.end::<A>(session).await;
                Err::<(), _>(Error::InsideUnit)
            })
            .await;
        assert!(matches!(ended, Err(Error::InsideUnit)), "{ended:?}");
        None
    } else {
        let mut session = binds.with(SessionOptions::new().best_effort()).session();
        listen(&session);
        <(A, B)>::write(&session, text).await.unwrap();
        by.end::<A>(&session).await;
        match end {
            End::Commit | End::BestEffort => {
                Some(claim(session.commit_all().await.map(drop), false))
            }
            End::CommitOther => match session.commit_only(B::bind()).await {
                // The rest is that of the first bind.
                Ok(_) => Some(claim(session.rollback_all().await, true)),
                Err(Error::Commit(error)) => Some(claim(Err(error), false)),
                Err(error) => panic!("{error:?}"),
            },
            End::RollBack => Some(claim(session.rollback_all().await, true)),
            End::Veto => {
                session.before_commit(async |_| Err("no"));
                Some(claim(session.commit_all().await.map(drop), false))
            }
            End::SavepointThenCommit => {
                let _ = session
                    .savepoint::<(), Error, _>(async |_| Err(Error::InsideUnit))
                    .await;
                Some(claim(session.commit_all().await.map(drop), false))
            }
            End::Drop | End::Closure => None,
        }
    };
    // A dropped session ends in the background.
    binds.close().await;
    let rows = A::rows(&world.databases[0]).await;
    if rows.iter().any(|row| row == text) {
        let ran = hooked.load(Ordering::SeqCst);
        assert!(
            !ran,
            "{case:?}: a hook after the roll-back ran, and the row is there: {claimed:?}"
        );
        if let Some((undone, words)) = claimed {
            assert!(
                !undone,
                "{case:?}: the row is there, and the unit said {words}"
            );
        }
    }
}

/// A dropped statement in text may have run: it may have been a `COMMIT`.
pub(crate) async fn a_dropped_commit_in_text_is_never_told_undone<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    for polls in 1..12 {
        let mut session = world.binds.session();
        let text = format!("mine {polls}");
        S::write(&session, &text).await.unwrap();
        {
            let mut committing = std::pin::pin!(S::sql(&session, "COMMIT"));
            for _ in 0..polls {
                if (&mut committing).now_or_never().is_some() {
                    break;
                }
                tokio::time::sleep(std::time::Duration::from_millis(1)).await;
            }
        }
        let ended = session.rollback_all().await;
        drop(session);
        let rows = S::rows(&world.databases[0]).await;
        assert!(
            ended.is_err() || !rows.contains(&text),
            "after {polls} polls {text} is there, and the unit said {ended:?}"
        );
    }
    world.binds.close().await;
}

/// The work of typed queries is certain to be undone, because none of them could have ended the transaction.
pub(crate) async fn typed_units_are_certain_to_be_undone<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    let mut session = world.binds.session();
    <(A, B)>::write(&session, "taken").await.unwrap();
    session.commit_all().await.unwrap();
    // A failed statement, and a dropped one.
    <(A, B)>::write(&session, "mine").await.unwrap();
    A::write(&session, "taken").await.unwrap_err();
    session.rollback_all().await.unwrap();
    <(A, B)>::write(&session, "mine").await.unwrap();
    // The statement may have been fast.
    let _ = A::write(&session, "other").now_or_never();
    session.rollback_all().await.unwrap();
    <(A, B)>::write(&session, "mine").await.unwrap();
    // The statement may have been fast.
    let _ = A::write(&session, "other").now_or_never();
    if let Err(refused) = session.commit_all().await {
        assert!(refused.is_rolled_back(), "{refused:?}");
        assert_eq!(A::rows(&world.databases[0]).await, ["taken"]);
    }
    world.binds.close().await;
}

/// The bind is alone, and so in a plain transaction on every backend.
pub(crate) async fn the_only_bind_is_never_told_undone<A: Side>(pool: PoolKind)
where
    (A,): Sides,
{
    let world = World::of::<(A,)>(pool).await;
    for (number, by) in By::ALL.into_iter().enumerate() {
        for commits in [true, false] {
            let text = format!("mine {number} {commits}");
            let mut session = world.binds.session();
            A::write(&session, &text).await.unwrap();
            by.end::<A>(&session).await;
            let (undone, words) = match commits {
                true => claim(session.commit_all().await.map(drop), false),
                false => claim(session.rollback_all().await, true),
            };
            let rows = A::rows(&world.databases[0]).await;
            assert!(
                !undone || !rows.contains(&text),
                "{by:?}: {text} is there, and the unit said {words}"
            );
        }
    }
    world.binds.close().await;
}
