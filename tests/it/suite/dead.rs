//! Connections that died before the commit: work that never reached the server is rolled back, and nothing is in doubt.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use diesel_binds::error::Fault;
use diesel_binds::{Commit, CommitError};
use futures_util::StreamExt as _;
use kit::admin::Admin;
use kit::database::Database;
use kit::proxy::Proxy;
use kit::side::{PoolKind, Side};
use kit::world::{Sides, World};
use tokio::time::sleep;

/// The time between the death of a connection and the commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Killed {
    /// Right after the command to end the connection.
    Now,
    /// After the server has closed the connection.
    JustBefore,
    ASecondBefore,
}

impl Killed {
    const ALL: [Self; 3] = [Self::Now, Self::JustBefore, Self::ASecondBefore];

    /// Ends all connections of a database except that of the test.
    pub(crate) async fn kill_all(self, database: &Database) {
        let mut admin = Admin::connect(database.url()).await;
        let (others, kill) = match is_mysql(database) {
            true => (
                "SELECT CAST(id AS CHAR) AS value FROM information_schema.processlist \
                 WHERE db = DATABASE() AND id <> CONNECTION_ID()",
                "KILL ",
            ),
            false => (
                "SELECT CAST(pid AS text) AS value FROM pg_stat_activity \
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
                "SELECT pg_terminate_backend",
            ),
        };
        for id in admin.values(others).await.unwrap() {
            // The connection may be gone by then.
            let _ = admin.run(&format!("{kill}({id})")).await;
        }
        if self != Self::Now {
            while !admin.values(others).await.unwrap().is_empty() {}
        }
        if self == Self::ASecondBefore {
            sleep(Duration::from_secs(1)).await;
        }
    }
}

fn is_mysql(database: &Database) -> bool {
    database.url().starts_with("mysql")
}

/// Returns whether the connection was lost, possibly with the reply to a question before the commit.
fn is_loss(fault: &Fault) -> bool {
    matches!(fault, Fault::Unreached(_) | Fault::Lost(_))
}

/// Returns whether the server refused, as its last message. An error of the driver about a closed connection is a loss.
fn is_refused(fault: &Fault) -> bool {
    matches!(fault, Fault::Refused(reason) if reason.to_string().contains("terminat"))
}

/// Asserts that the databases have the result that the commit of `text` reported.
async fn assert_report_is_true<S: Sides>(
    world: &World,
    text: &str,
    ended: &Result<Commit, CommitError>,
) {
    let kept: Vec<bool> = S::rows(world)
        .await
        .iter()
        .map(|rows| rows.iter().any(|row| row == text))
        .collect();
    match ended {
        Ok(_) => assert!(!kept.contains(&false), "{text}: {kept:?} after {ended:?}"),
        Err(error) if error.is_rolled_back() => {
            assert!(!kept.contains(&true), "{text}: {kept:?} after {ended:?}");
        }
        Err(_) => {}
    }
}

/// The bind is the only writer of its unit, and the only one of its registry.
pub(crate) async fn a_lone_commit_on_a_dead_connection_is_rolled_back<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let world = World::of::<(S,)>(pool).await;
    for (round, killed) in Killed::ALL.into_iter().cycle().take(9).enumerate() {
        let text = format!("{round} {killed:?}");
        let undone = Arc::new(AtomicBool::new(false));
        let mut session = world.binds.session();
        let by_hook = Arc::clone(&undone);
        session.after_rollback(async move |_| by_hook.store(true, Ordering::SeqCst));
        S::write(&session, &text).await.unwrap();
        killed.kill_all(&world.databases[0]).await;
        let ended = session.commit_all().await;
        assert_report_is_true::<(S,)>(&world, &text, &ended).await;
        // The message may leave just before the connection ends. A server can be asked by the id of the transaction for
        // the outcome, but PostgreSQL has no id in the first commit of a connection.
        if killed != Killed::Now {
            let unreached = matches!(
                ended,
                Err(CommitError::RolledBack {
                    source: Fault::Unreached(_),
                    ..
                })
            );
            assert!(unreached, "{text}: {ended:?}");
            assert!(undone.load(Ordering::SeqCst));
        }
    }
    assert_works_again::<(S,)>(&world).await;
}

/// The connection is that of one of several writers, which prepares or holds the decision.
pub(crate) async fn a_writer_on_a_dead_connection_leaves_nothing_in_doubt<A: Side, B: Side>(
    pool: PoolKind,
) where
    (A, B): Sides,
{
    let world = World::of::<(A, B)>(pool).await;
    for (round, killed) in Killed::ALL.into_iter().cycle().take(6).enumerate() {
        for (index, victim) in world.databases.iter().enumerate() {
            if victim.name().is_none() {
                continue;
            }
            let text = format!("{round} of {index} {killed:?}");
            let mut session = world.binds.session();
            <(A, B)>::write(&session, &text).await.unwrap();
            killed.kill_all(victim).await;
            let ended = session.commit_all().await;
            assert_report_is_true::<(A, B)>(&world, &text, &ended).await;
            match &ended {
                Err(CommitError::RolledBack {
                    pending, source, ..
                }) if killed != Killed::Now => {
                    assert!(pending.is_empty(), "{text}: {ended:?}");
                    assert!(is_loss(source), "{text}: {ended:?}");
                }
                Err(CommitError::RolledBack { source, .. }) => {
                    assert!(is_loss(source) || is_refused(source), "{text}: {ended:?}");
                }
                // A message may be faster than the end of its connection.
                Ok(_) if killed == Killed::Now => {}
                _ => panic!("{text}: {ended:?}"),
            }
        }
    }
    assert_works_again::<(A, B)>(&world).await;
}

/// The network to the server is cut, and the server cannot be reached again. No question is possible, and none is
/// needed.
pub(crate) async fn a_unit_behind_a_cut_network_is_rolled_back<A: Side, B: Side>(pool: PoolKind)
where
    (A, B): Sides,
    (A,): Sides,
{
    let databases = <(A, B) as Sides>::databases().await;
    let proxy = Proxy::start(databases[0].url()).await;
    let urls = [proxy.url(databases[0].url()), databases[1].url().to_owned()];
    let builder = World::builder::<(A, B)>().pool(pool);
    let builder = builder.binds(|binds| binds.resolve_timeout(Duration::from_millis(500)));
    let world = World {
        binds: builder.connect(&urls).await,
        databases,
    };
    // Later units have the ids of the databases, and send nothing before they prepare and decide.
    let mut session = world.binds.session();
    <(A, B)>::write(&session, "first").await.unwrap();
    session.commit_all().await.unwrap();
    for round in 0..4 {
        let text = format!("{round}");
        let mut session = world.binds.session();
        A::write(&session, &text).await.unwrap();
        // Every second unit has one writer.
        let alone = round % 2 == 0;
        if !alone {
            B::write(&session, &text).await.unwrap();
        }
        proxy.refuse();
        proxy.cut();
        sleep(Duration::from_secs(1)).await;
        let ended = session.commit_all().await;
        proxy.accept();
        let Err(CommitError::RolledBack { source, .. }) = &ended else {
            panic!("{text}: {ended:?}");
        };
        assert!(is_loss(source), "{text}: {ended:?}");
        assert_report_is_true::<(A, B)>(&world, &text, &ended).await;
    }
    assert_works_again::<(A, B)>(&world).await;
}

/// A stream was dropped early while the server still sends the other rows. The commit waits for them for at most the
/// time of a step, and is sent after them or not at all.
pub(crate) async fn a_commit_behind_a_dropped_stream_is_certain<S: Side>(pool: PoolKind)
where
    (S,): Sides,
{
    let databases = <(S,) as Sides>::databases().await;
    for number in 0..300 {
        let row = format!(
            "INSERT INTO notes (text) VALUES ('row {number} {}')",
            "x".repeat(150)
        );
        S::admin(&databases[0], &row).await;
    }
    let builder = World::builder::<(S,)>().pool(pool);
    let builder = builder.binds(|binds| binds.step_timeout(Duration::from_secs(2)));
    let world = builder.over(databases).await;
    for (long, savepoint) in [(false, false), (false, true), (true, false)] {
        // A file is read in one piece.
        if long && world.databases[0].name().is_none() {
            continue;
        }
        let text = format!("written {long} {savepoint}");
        let mut session = world.binds.session();
        S::write(&session, &text).await.unwrap();
        match long {
            // The query has 27 million rows.
            true => S::first_of(&session, "SELECT a.text FROM notes a, notes b, notes c").await,
            false => {
                let mut rows = std::pin::pin!(S::stream(&session).await.unwrap());
                rows.next().await.unwrap().map(drop)
            }
        }
        .unwrap();
        if savepoint {
            let kept = session
                .savepoint::<(), diesel_binds::Error, _>(async |session| {
                    S::write(session, "in a savepoint").await.map(drop)
                })
                .await;
            kept.unwrap();
        }
        let ended = session.commit_all().await;
        assert_report_is_true::<(S,)>(&world, &text, &ended).await;
        if long {
            assert!(
                ended.as_ref().err().is_none_or(CommitError::is_rolled_back),
                "{ended:?}"
            );
        } else {
            let _ = ended.unwrap();
        }
    }
    assert_works_again::<(S,)>(&world).await;
}

/// Commits a unit after some attempts, because dead connections are still in the pool.
async fn assert_works_again<S: Sides>(world: &World) {
    for number in 0..8 {
        let mut session = world.binds.session();
        if S::write(&session, &format!("again {number}")).await.is_ok()
            && session.commit_all().await.is_ok()
        {
            return;
        }
    }
    panic!("no unit commits any more");
}
