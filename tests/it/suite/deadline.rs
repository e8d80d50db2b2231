//! The deadline of a unit: it ends every wait, the unit is then abort-only, and the pool stays complete.

use std::time::Duration;

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::error::{AbortReason, Waiting};
use diesel_binds::{
    Bind, BindOptions, Binds, BindsBuilder, CommitError, Error, Session, SessionOptions,
};
use kit::database::Database;
use kit::proxy::{Fault, Proxy};
use kit::side::{PoolKind, Side};

/// Long enough for some statements on a loaded machine.
const SOON: Duration = Duration::from_secs(2);

fn within(deadline: Duration) -> SessionOptions {
    SessionOptions::new().deadline(deadline)
}

async fn binds<S: Side>(url: &str, pool: PoolKind, size: usize) -> Binds {
    registered::<S>(url, pool, size).await.build().unwrap()
}

async fn registered<S: Side>(url: &str, pool: PoolKind, size: usize) -> BindsBuilder {
    S::register(Binds::builder(), url, pool, size, BindOptions::new()).await
}

/// Asserts that the unit reports its end to every statement, and then keeps nothing.
async fn can_only_be_rolled_back<S: Side>(session: &mut Session) {
    for refused in [
        S::write(session, "late").await,
        S::sql(session, "SELECT 1").await,
    ] {
        assert!(
            matches!(
                refused,
                Err(Error::AbortOnly {
                    bind,
                    reason: AbortReason::DeadlineExceeded,
                }) if bind == S::Bind::KEY
            ),
            "{refused:?}"
        );
    }
    let ended = session.commit_all().await;
    assert!(
        matches!(
            ended,
            Err(CommitError::RolledBack {
                bind,
                source: diesel_binds::error::Fault::DeadlineExceeded,
                ..
            }) if bind == S::Bind::KEY
        ),
        "{ended:?}"
    );
}

/// Asserts that the pool lends its connections again, and that their replies are true.
async fn assert_whole<S: Side>(binds: &Binds, database: &Database) {
    for text in ["whole", "and sound"] {
        let mut session = binds.session();
        S::write(&session, text).await.unwrap();
        assert_eq!(S::read(&session).await.unwrap().last().unwrap(), text);
        session.commit_all().await.unwrap();
    }
    let rows = S::rows(database).await;
    assert!(rows.ends_with(&["whole".into(), "and sound".into()]));
    assert!(!rows.iter().any(|row| row == "mine" || row == "late"));
}

pub(crate) async fn the_deadline_ends_waiting_for_a_pool<S: Side>(pool: PoolKind) {
    let database = S::database().await;
    let binds = binds::<S>(database.url(), pool, 1).await;
    let holding = binds.session();
    S::read(&holding).await.unwrap();
    let mut waiting = binds.with(within(Duration::from_millis(200))).session();
    let late = S::read(&waiting).await;
    assert!(
        matches!(
            late,
            Err(Error::DeadlineExceeded { bind, waiting_for: Waiting::Connection })
                if bind == S::Bind::KEY
        ),
        "{late:?}"
    );
    let ended = waiting.commit_all().await;
    assert!(matches!(
        ended,
        Err(CommitError::RolledBack {
            source: diesel_binds::error::Fault::DeadlineExceeded,
            ..
        })
    ));
    drop(holding);
    assert_whole::<S>(&binds, &database).await;
}

pub(crate) async fn the_deadline_ends_waiting_for_a_lock<S: Side>(pool: PoolKind) {
    let database = S::database().await;
    let binds = binds::<S>(database.url(), pool, 2).await;
    let mut holding = binds.session();
    S::write(&holding, "theirs").await.unwrap();
    let mut waiting = binds.with(within(SOON)).session();
    let late = async {
        S::write(&waiting, "mine").await?;
        S::write(&waiting, "theirs").await
    }
    .await;
    assert!(
        matches!(
            late,
            Err(Error::DeadlineExceeded { bind, waiting_for: Waiting::Statement })
                if bind == S::Bind::KEY
        ),
        "{late:?}"
    );
    can_only_be_rolled_back::<S>(&mut waiting).await;
    drop(waiting);
    holding.commit_all().await.unwrap();
    assert_whole::<S>(&binds, &database).await;
    assert_eq!(S::rows(&database).await[0], "theirs");
}

/// A server goes on with the statement of a client that is gone, and keeps its locks, unless the statement is
/// cancelled.
pub(crate) async fn a_statement_past_the_deadline_is_stopped<S: Side>(pool: PoolKind) {
    let (statement, wait) = match S::Bind::KEY {
        key if key.starts_with("pg") => ("SELECT pg_sleep(60)", "SET lock_timeout = '20s'; "),
        _ => (
            "DO SLEEP(60)",
            "SET SESSION innodb_lock_wait_timeout = 20; ",
        ),
    };
    let database = S::database().await;
    let binds = binds::<S>(database.url(), pool, 1).await;
    let mut session = binds.with(within(SOON)).session();
    S::write(&session, "taken").await.unwrap();
    assert!(matches!(
        S::sql(&session, statement).await,
        Err(Error::DeadlineExceeded { .. })
    ));
    can_only_be_rolled_back::<S>(&mut session).await;
    // Waits for the lock of the row, but not until the statement would end by itself.
    let take = format!("{wait}INSERT INTO notes (text) VALUES ('taken')");
    S::admin(&database, &take).await;
    assert_whole::<S>(&binds, &database).await;
}

pub(crate) async fn a_deadline_that_passed_keeps_the_commit_from_beginning<S: Side>(
    pool: PoolKind,
) {
    let database = S::database().await;
    let binds = binds::<S>(database.url(), pool, 1).await;
    let mut session = binds.with(within(SOON)).session();
    S::write(&session, "mine").await.unwrap();
    tokio::time::sleep(SOON).await;
    assert!(matches!(
        session.commit_all().await,
        Err(CommitError::RolledBack {
            bind,
            source: diesel_binds::error::Fault::DeadlineExceeded,
            ..
        }) if bind == S::Bind::KEY
    ));
    assert_whole::<S>(&binds, &database).await;
}

pub(crate) async fn a_unit_within_its_deadline_is_as_any_other<S: Side>(pool: PoolKind) {
    let database = S::database().await;
    let binds = binds::<S>(database.url(), pool, 1).await;
    for (deadline, text) in [
        (Duration::from_secs(60), "soon"),
        (
            Duration::from_secs(60 * 60 * 24 * 365 * 100),
            "in a century",
        ),
        (Duration::MAX, "never"),
    ] {
        let mut session = binds.with(within(deadline)).session();
        S::write(&session, text).await.unwrap();
        session.commit_all().await.unwrap();
    }
    assert_whole::<S>(&binds, &database).await;
}

/// The moment of a unit at which its server stops answering.
#[derive(Clone, Copy, Debug)]
enum HangPoint {
    /// The first statement, at which the server is asked about itself.
    First,
    /// The begin.
    Begin,
    /// A later statement.
    Statement,
    /// The verification of a connection that the application used directly.
    Verify,
    /// A savepoint.
    Savepoint,
    /// The end of a savepoint.
    SavepointEnd,
}

/// Only for servers: a file always answers.
pub(crate) async fn the_deadline_ends_waiting_for_a_server_that_hangs<S: Side>(pool: PoolKind) {
    let about_itself = match S::Bind::KEY {
        key if key.starts_with("pg") => "pg_control_system",
        _ => "sync_binlog",
    };
    let database = S::database().await;
    for moment in [
        HangPoint::First,
        HangPoint::Begin,
        HangPoint::Statement,
        HangPoint::Verify,
        HangPoint::Savepoint,
        HangPoint::SavepointEnd,
    ] {
        let proxy = Proxy::start(database.url()).await;
        let builder = registered::<S>(&proxy.url(database.url()), pool, 1).await;
        let binds = builder.build().unwrap();
        let mut session = binds.with(within(SOON / 2)).session();
        let hangs = async {
            match moment {
                HangPoint::First => {
                    proxy.inject(Fault::before(about_itself).stalling());
                    return S::read(&session).await.map(drop);
                }
                HangPoint::Begin => {
                    proxy.inject(Fault::before("diesel_binds").stalling());
                    return S::read(&session).await.map(drop);
                }
                _ => {}
            }
            S::write(&session, "mine").await?;
            match moment {
                HangPoint::Statement => {
                    proxy.stall();
                    S::read(&session).await.map(drop)
                }
                HangPoint::Verify => {
                    let mut connection = session.connection(S::bind()).await?;
                    connection.raw()?.batch_execute("SELECT 1").await.unwrap();
                    drop(connection);
                    proxy.stall();
                    S::read(&session).await.map(drop)
                }
                HangPoint::Savepoint => {
                    proxy.stall();
                    session.savepoint(async |_| Ok(())).await
                }
                _ => {
                    session
                        .savepoint(async |_| {
                            proxy.stall();
                            Ok(())
                        })
                        .await
                }
            }
        }
        .await;
        assert!(
            matches!(
                hangs,
                Err(Error::DeadlineExceeded {
                    waiting_for: Waiting::Statement,
                    ..
                })
            ),
            "{moment:?}: {hangs:?}"
        );
        if !matches!(moment, HangPoint::Statement) {
            // Otherwise the roll-back would also wait for the server until its own limit.
            proxy.resume();
        }
        let ended = session.commit_all().await;
        assert!(
            matches!(ended, Err(CommitError::RolledBack { .. })),
            "{moment:?}: {ended:?}"
        );
        proxy.resume();
        assert_whole::<S>(&binds, &database).await;
        S::admin(&database, "DELETE FROM notes").await;
    }
}

/// Regression test: a second unit of a session with a deadline could not begin.
pub(crate) async fn each_unit_of_a_session_has_a_deadline_of_its_own<S: Side>(pool: PoolKind) {
    let database = S::database().await;
    let binds = binds::<S>(database.url(), pool, 1).await;
    let mut session = binds.with(within(SOON)).session();
    for text in ["one", "two"] {
        S::write(&session, text).await.unwrap();
        session.commit_all().await.unwrap();
        tokio::time::sleep(SOON).await;
    }
    assert_eq!(S::rows(&database).await, ["one", "two"]);
    // The deadline of a later unit is as strict as that of the first.
    S::write(&session, "late").await.unwrap();
    tokio::time::sleep(SOON).await;
    let late = S::write(&session, "later").await;
    assert!(
        matches!(late, Err(Error::DeadlineExceeded { .. })),
        "{late:?}"
    );
    can_only_be_rolled_back::<S>(&mut session).await;
    assert_eq!(S::rows(&database).await, ["one", "two"]);
}
