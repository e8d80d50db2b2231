//! Options of a transaction at its begin: each holds, or is refused, and never reaches the next user of a connection.

use std::time::Duration;

use diesel_binds::build::BuildProblem;
use diesel_binds::{Bind, BindOptions, Binds, Error, Isolation, Session, SessionOptions};
use kit::side::{PoolKind, Side};
use kit::world::World;

use crate::suite::second::{NoSecond, Second};

const SECOND: Duration = Duration::from_secs(1);

/// Longer than any limit here: a wait that reaches this deadline was not ended by the limit.
const LATE: Duration = Duration::from_secs(8);

/// Creates databases with a pool of this size for the first, and of one connection for the second.
async fn world<S: Side, Other: Second>(pool: PoolKind, size: usize, options: BindOptions) -> World {
    World::builder::<Other::With<S>>()
        .pool(pool)
        .size(1)
        .size_of(0, size)
        .options_of(0, options)
        .build()
        .await
}

/// Returns whether the second statement of a unit sees rows that were committed after the first.
async fn sees_what_comes<S: Side>(binds: &Binds, options: SessionOptions, text: &str) -> bool {
    let watching = binds.with(options).session();
    S::read(&watching).await.unwrap();
    let mut writing = binds.session();
    S::write(&writing, text).await.unwrap();
    writing.commit_all().await.unwrap();
    let seen = S::read(&watching).await.unwrap();
    seen.iter().any(|row| row == text)
}

pub(crate) async fn a_unit_has_the_isolation_that_it_asked_for<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, 2, BindOptions::new()).await;
    for (round, base) in [SessionOptions::new(), SessionOptions::new().read_only()]
        .into_iter()
        .enumerate()
    {
        for (level, expected) in [
            (Isolation::ReadCommitted, true),
            (Isolation::RepeatableRead, false),
            (Isolation::ReadCommitted, true),
        ] {
            let options = base.clone().isolation(level);
            let text = format!("{round} {level:?} {}", uuid());
            assert_eq!(
                sees_what_comes::<S>(&world.binds, options, &text).await,
                expected,
                "{text}"
            );
        }
    }
}

pub(crate) async fn options_of_a_bind_hold_unless_the_unit_overrides_them<
    S: Side,
    Other: Second,
>(
    pool: PoolKind,
) {
    for (level, other) in [
        (Isolation::ReadCommitted, Isolation::RepeatableRead),
        (Isolation::RepeatableRead, Isolation::ReadCommitted),
    ] {
        let world = world::<S, Other>(pool, 2, BindOptions::new().isolation(level)).await;
        let plain = SessionOptions::new();
        let seen = sees_what_comes::<S>(&world.binds, plain.clone(), "one").await;
        assert_eq!(seen, level == Isolation::ReadCommitted);
        let seen = sees_what_comes::<S>(&world.binds, plain.isolation(other), "two").await;
        assert_eq!(seen, other == Isolation::ReadCommitted);
    }
}

pub(crate) async fn a_statement_past_its_timeout_is_ended_by_the_server<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, 1, BindOptions::new()).await;
    let options = SessionOptions::new()
        .statement_timeout(SECOND / 5)
        .deadline(LATE);
    let mut session = world.binds.with(options).session();
    S::write(&session, "gone").await.unwrap();
    let slow = match S::Bind::KEY {
        // MySQL limits only queries.
        _ if S::is_mysql() => "SELECT text FROM notes WHERE SLEEP(3) = 0",
        // MariaDB reports success for a `DO SLEEP` that is interrupted.
        key if key.starts_with("my") => "UPDATE notes SET text = text WHERE SLEEP(3) = 0",
        _ => S::SLOW,
    };
    let late = S::sql(&session, slow).await;
    assert!(matches!(late, Err(Error::Query { .. })), "{late:?}");
    session.rollback_all().await.unwrap();
    // The limit ended with the unit.
    let mut session = world.binds.session();
    S::write(&session, "kept").await.unwrap();
    S::sql(&session, S::SLOW).await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(S::rows(&world.databases[0]).await, ["kept"]);
}

pub(crate) async fn a_lock_that_is_not_free_in_time_is_an_error<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, 2, BindOptions::new()).await;
    let mut holding = world.binds.session();
    S::write(&holding, "theirs").await.unwrap();
    // The server reports the error before the deadline ends the wait.
    let options = SessionOptions::new().lock_timeout(SECOND).deadline(LATE);
    let mut waiting = world.binds.with(options).session();
    let late = S::write(&waiting, "theirs").await;
    assert!(
        matches!(late, Err(Error::Query { .. } | Error::Begin { .. })),
        "{late:?}"
    );
    waiting.rollback_all().await.unwrap();
    holding.commit_all().await.unwrap();
    S::write(&waiting, "mine").await.unwrap();
    waiting.commit_all().await.unwrap();
    assert_eq!(S::rows(&world.databases[0]).await, ["theirs", "mine"]);
}

/// Returns the settings of a connection that options of a unit can change.
async fn found<S: Side>(session: &Session) -> String {
    let query = match S::Bind::KEY {
        key if key.starts_with("pg") => {
            "SELECT concat_ws(' ', current_setting('transaction_isolation'), \
             current_setting('transaction_read_only'), current_setting('transaction_deferrable'), \
             current_setting('statement_timeout'), current_setting('lock_timeout')) AS text"
        }
        _ if S::is_mysql() => {
            "SELECT CONCAT_WS(' ', @@transaction_isolation, @@transaction_read_only, @@max_execution_time, \
             @@innodb_lock_wait_timeout, @@lock_wait_timeout) AS text"
        }
        key if key.starts_with("my") => {
            "SELECT CONCAT_WS(' ', @@tx_isolation, @@tx_read_only, @@max_statement_time, \
             @@innodb_lock_wait_timeout, @@lock_wait_timeout) AS text"
        }
        _ => {
            "SELECT (SELECT timeout FROM pragma_busy_timeout) || ' ' || \
             (SELECT query_only FROM pragma_query_only) AS text"
        }
    };
    S::text(session, query).await.unwrap()
}

/// This holds for every ending of the unit, on the only connection of the pool.
pub(crate) async fn nothing_that_a_unit_was_told_reaches_the_next<S: Side, Other: Second>(
    pool: PoolKind,
) {
    let world = world::<S, Other>(pool, 1, BindOptions::new()).await;
    let mut session = world.binds.session();
    let before = found::<S>(&session).await;
    session.rollback_all().await.unwrap();
    let timeouts = SessionOptions::new().lock_timeout(3 * SECOND);
    let all = match S::Bind::KEY {
        key if key.starts_with("lite") => timeouts.isolation(Isolation::Serializable),
        _ => timeouts
            .statement_timeout(Duration::from_millis(2500))
            .isolation(Isolation::Serializable),
    };
    let mut rounds = vec![all.clone(), all.clone().read_only()];
    if S::Bind::KEY.starts_with("pg") {
        rounds.push(all.read_only().deferrable());
    }
    for (round, options) in rounds.into_iter().enumerate() {
        for ending in [
            "committed",
            "together",
            "rolled back",
            "dropped",
            "failed",
            "abandoned",
        ] {
            let mut session = world.binds.with(options.clone()).session();
            let within = found::<S>(&session).await;
            assert_ne!(within, before, "{options:?}");
            let text = format!("{round} {ending}");
            if round == 0 {
                S::write(&session, &text).await.unwrap();
            }
            match ending {
                "committed" => drop(session.commit_all().await.unwrap()),
                "together" => {
                    if round == 0 {
                        Other::write(&session, &text).await.unwrap();
                    }
                    session.commit_all().await.unwrap();
                }
                "rolled back" => session.rollback_all().await.unwrap(),
                "failed" => {
                    S::sql(&session, "not SQL").await.unwrap_err();
                    drop(session.commit_all().await);
                }
                "abandoned" => {
                    let half = S::text(&session, "SELECT 'half' AS text");
                    let _ = crate::suite::polls::DropPoint::Asked(1).cut(half).await;
                    drop(session);
                }
                _ => drop(session),
            }
            let mut session = world.binds.session();
            assert_eq!(found::<S>(&session).await, before, "{options:?}, {ending}");
            session.rollback_all().await.unwrap();
        }
    }
}

pub(crate) async fn options_that_cannot_hold_are_refused_by_bind_and_option<S: Side>(
    pool: PoolKind,
) {
    let half = SECOND / 2;
    let key = S::Bind::KEY;
    let unit = SessionOptions::new;
    let bind = BindOptions::new;
    let serializable = Isolation::Serializable;
    let mut refused = vec![
        ("deferrable", unit().deferrable(), bind().deferrable()),
        (
            "lock_timeout",
            unit().lock_timeout(Duration::ZERO),
            bind().lock_timeout(Duration::ZERO),
        ),
        (
            "statement_timeout",
            unit().statement_timeout(Duration::ZERO),
            bind().statement_timeout(Duration::ZERO),
        ),
    ];
    if !key.starts_with("pg") {
        refused.push((
            "deferrable",
            unit().read_only().isolation(serializable).deferrable(),
            bind().read_only().isolation(serializable).deferrable(),
        ));
    }
    if key.starts_with("my") {
        refused.push((
            "lock_timeout",
            unit().lock_timeout(half),
            bind().lock_timeout(half),
        ));
    }
    if key.starts_with("lite") {
        for level in [Isolation::ReadCommitted, Isolation::RepeatableRead] {
            refused.push((
                "isolation",
                unit().isolation(level),
                bind().isolation(level),
            ));
        }
        refused.push((
            "statement_timeout",
            unit().statement_timeout(SECOND),
            bind().statement_timeout(SECOND),
        ));
    }
    let world = world::<S, NoSecond>(pool, 1, BindOptions::new()).await;
    for (expected, of_unit, of_bind) in refused {
        let mut session = world.binds.with(of_unit).session();
        let error = S::read(&session).await.unwrap_err();
        assert!(
            matches!(error, Error::Unsupported { bind, option, .. } if bind == key && option == expected),
            "{error:?}"
        );
        assert!(error.to_string().contains(key) && error.to_string().contains(expected));
        session.rollback_all().await.unwrap();
        let builder = S::register(Binds::builder(), "", pool, 1, of_bind).await;
        let error = builder.build().unwrap_err();
        assert!(
            error.problems().iter().any(|problem| matches!(
                problem,
                BuildProblem::Unsupported { bind, option, .. } if *bind == key && *option == expected
            )),
            "{error}"
        );
    }
    // A refused statement began nothing.
    let mut session = world.binds.session();
    S::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
}

pub(crate) async fn a_bind_that_only_reads_refuses_what_may_write<S: Side>(pool: PoolKind) {
    let world = world::<S, NoSecond>(pool, 1, BindOptions::new().read_only()).await;
    let mut session = world.binds.session();
    let refused = S::write(&session, "typed").await;
    assert!(matches!(refused, Err(Error::ReadOnly { bind }) if bind == S::Bind::KEY));
    assert_eq!(S::read(&session).await.unwrap(), [""; 0]);
    let insert = "INSERT INTO notes (text) VALUES ('written')";
    S::read_sql(&session, insert).await.unwrap_err();
    session.rollback_all().await.unwrap();
    {
        use diesel_async::SimpleAsyncConnection as _;
        let mut connection = session.connection(S::bind()).await.unwrap();
        connection
            .raw()
            .unwrap()
            .batch_execute(insert)
            .await
            .unwrap_err();
    }
    drop(session);
    assert_eq!(S::rows(&world.databases[0]).await, [""; 0]);
}

/// Returns a number that no other text has.
fn uuid() -> usize {
    static COUNTER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    COUNTER.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
}
