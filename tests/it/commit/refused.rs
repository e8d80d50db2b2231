//! Refusals of a server at the commit, by name: the unit is rolled back on every bind, with the reason.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::result::{DatabaseErrorKind, Error as Diesel};
use diesel_async::{AsyncConnection as _, SimpleAsyncConnection as _};
use diesel_binds::error::Fault;
use diesel_binds::{AsyncSqliteConnection, BindOptions, CommitError, Error};
use kit::prepared::decision;
use kit::side::{
    MariadbA, MariadbB, PoolKind, PostgresA, PostgresB, PostgresPlain, PostgresPlainB, Side,
    Sqlite, SqliteB,
};
use kit::world::World;

use crate::commit::pair::{Pair, says};

const DEFERRED: &str = "CREATE TABLE parents (id INTEGER PRIMARY KEY); \
     CREATE TABLE children (parent INTEGER REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED)";
const ORPHAN: &str = "INSERT INTO children VALUES (1)";

#[tokio::test]
async fn an_error_that_was_swallowed_rolls_every_bind_back() {
    let pair = Pair::<PostgresA, PostgresB>::new().await;
    for bad in [0, 1] {
        let mut session = pair.binds.session();
        pair.write(&session, "gone").await.unwrap();
        let (swallowed, because) = match bad {
            0 => (PostgresA::sql(&session, "SELECT 1 / 0").await, "pg-a"),
            _ => (PostgresB::sql(&session, "SELECT 1 / 0").await, "pg-b"),
        };
        assert!(matches!(swallowed, Err(Error::Query { .. })));
        let fault = pair.rolls_back(&mut session, because, &[]).await;
        assert!(matches!(fault, Fault::Refused(_)), "{fault:?}");
    }
}

#[tokio::test]
async fn a_deferred_constraint_of_a_participant_fails_its_prepare() {
    let pair = Pair::<PostgresA, PostgresB>::new().await;
    PostgresB::admin(&pair.second, DEFERRED).await;
    let mut session = pair.binds.session();
    pair.write(&session, "gone").await.unwrap();
    PostgresB::sql(&session, ORPHAN).await.unwrap();
    let fault = pair.rolls_back(&mut session, "pg-b", &[]).await;
    assert_violates_foreign_key(&fault);
}

/// A trigger that ends its own session, in the middle of the message that prepares.
const ENDS_ITSELF: &str = "CREATE FUNCTION end_session() RETURNS trigger LANGUAGE plpgsql AS \
     'BEGIN IF NEW.text = ''gone'' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NULL; END'; \
     CREATE CONSTRAINT TRIGGER late AFTER INSERT ON notes DEFERRABLE INITIALLY DEFERRED \
     FOR EACH ROW EXECUTE FUNCTION end_session()";

/// The server has reported its end, so the prepare is no longer under way: a branch that is not listed will never
/// exist.
#[tokio::test]
async fn a_session_that_the_server_ends_in_its_prepare_leaves_nothing_pending() {
    let pair = Pair::<PostgresA, PostgresB>::new().await;
    PostgresB::admin(&pair.second, ENDS_ITSELF).await;
    // Later units have the ids of the databases already, so their first message prepares.
    let mut session = pair.binds.session();
    pair.write(&session, "kept").await.unwrap();
    let _ = pair.commits(&mut session, &["kept"]).await;
    pair.write(&session, "gone").await.unwrap();
    let fault = pair.rolls_back(&mut session, "pg-b", &["kept"]).await;
    assert!(matches!(fault, Fault::Refused(_)), "{fault:?}");
}

#[tokio::test]
async fn a_deferred_constraint_of_the_holder_fails_the_decision() {
    let pair = Pair::<PostgresA, PostgresB>::new().await;
    PostgresA::admin(&pair.first, DEFERRED).await;
    let mut session = pair.binds.session();
    pair.write(&session, "gone").await.unwrap();
    PostgresA::sql(&session, ORPHAN).await.unwrap();
    let fault = pair.rolls_back(&mut session, "pg-a", &[]).await;
    assert_violates_foreign_key(&fault);

    let pair = Pair::<PostgresA, Sqlite>::new().await;
    Sqlite::admin(&pair.second, DEFERRED).await;
    let mut session = pair.binds.session();
    pair.write(&session, "gone").await.unwrap();
    Sqlite::sql(&session, ORPHAN).await.unwrap();
    let fault = pair.rolls_back(&mut session, "lite", &[]).await;
    assert_violates_foreign_key(&fault);
}

/// A question on another connection would get no answer either, because of that reader.
#[tokio::test]
async fn a_decision_that_a_reader_of_the_file_refuses_is_not_in_doubt() {
    let pair = Pair::<PostgresA, Sqlite>::new().await;
    let mut reader = AsyncSqliteConnection::establish(pair.second.url())
        .await
        .unwrap();
    let mut session = pair.binds.session();
    pair.write(&session, "gone").await.unwrap();
    reader
        .batch_execute("BEGIN; SELECT count(*) FROM notes")
        .await
        .unwrap();
    let fault = pair.rolls_back(&mut session, "lite", &[]).await;
    assert!(says(&fault, "database is locked"), "{fault:?}");
}

#[tokio::test]
async fn a_deferred_constraint_fails_a_lone_commit() {
    let world = World::of::<(PostgresA,)>(PoolKind::Deadpool).await;
    PostgresA::admin(&world.databases[0], DEFERRED).await;
    let mut session = world.binds.session();
    PostgresA::write(&session, "gone").await.unwrap();
    PostgresA::sql(&session, ORPHAN).await.unwrap();
    let error = session.commit_all().await.unwrap_err();
    let CommitError::RolledBack {
        bind: "pg-a",
        source,
        ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_violates_foreign_key(source);
    let error = Error::from(error);
    assert!(error.is_rolled_back(), "{error:?}");
    assert!(matches!(
        error.kind(),
        Some(DatabaseErrorKind::ForeignKeyViolation)
    ));
    assert!(PostgresA::rows(&world.databases[0]).await.is_empty());
    // The connection is usable.
    PostgresA::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
}

fn assert_violates_foreign_key(fault: &Fault) {
    assert!(
        matches!(
            fault,
            Fault::Refused(Diesel::DatabaseError(
                DatabaseErrorKind::ForeignKeyViolation,
                _
            ))
        ),
        "{fault:?}"
    );
}

#[tokio::test]
async fn a_serialization_failure_at_the_prepare_rolls_back() {
    let pair = Pair::<PostgresA, PostgresB>::new().await;
    let name = pair.second.name().unwrap();
    let setting =
        format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
    PostgresB::admin(&pair.second, &setting).await;
    let (mut one, mut two) = (pair.binds.session(), pair.binds.session());
    for session in [&one, &two] {
        assert!(PostgresB::read(session).await.unwrap().is_empty());
    }
    pair.write(&one, "first").await.unwrap();
    pair.write(&two, "second").await.unwrap();
    let _ = pair.commits(&mut one, &["first"]).await;
    let fault = pair.rolls_back(&mut two, "pg-b", &["first"]).await;
    assert!(
        matches!(
            fault,
            Fault::Refused(Diesel::DatabaseError(
                DatabaseErrorKind::SerializationFailure,
                _
            ))
        ),
        "{fault:?}"
    );
}

#[tokio::test]
async fn a_second_writer_that_cannot_prepare_does_not_write() {
    // Two PostgreSQL databases with `max_prepared_transactions = 0`.
    let pair = Pair::<PostgresPlain, PostgresPlainB>::new().await;
    let mut session = pair.binds.session();
    PostgresPlain::write(&session, "first").await.unwrap();
    let refused = PostgresPlainB::write(&session, "second").await.unwrap_err();
    assert!(
        matches!(&refused, Error::NotAtomic { first: "pg-plain", second: "pg-plain-b", reason }
            if reason.contains("max_prepared_transactions")),
        "{refused:?}"
    );
    assert!(PostgresPlainB::read(&session).await.unwrap().is_empty());
    session.commit_all().await.unwrap();
    assert_eq!(pair.rows().await, (vec!["first".to_owned()], vec![]));

    // Two SQLite files.
    let pair = Pair::<Sqlite, SqliteB>::new().await;
    let mut session = pair.binds.session();
    Sqlite::write(&session, "first").await.unwrap();
    let refused = SqliteB::write(&session, "second").await.unwrap_err();
    assert!(
        matches!(
            &refused,
            Error::NotAtomic {
                first: "lite",
                second: "lite-b",
                ..
            }
        ),
        "{refused:?}"
    );
    session.commit_all().await.unwrap();
    assert_eq!(pair.rows().await, (vec!["first".to_owned()], vec![]));
}

#[tokio::test]
async fn one_writer_that_cannot_prepare_holds_the_decision() {
    let pair = Pair::<PostgresA, PostgresPlain>::new().await;
    let mut session = pair.binds.session();
    pair.write(&session, "kept").await.unwrap();
    let committed = pair.commits(&mut session, &["kept"]).await;
    assert_eq!(committed.gid().unwrap().holder(), "pg-plain");
    let decided = decision(pair.second.url(), committed.unit()).await;
    assert_eq!(decided, Some(diesel_binds::recovery::Outcome::Committed));
}

#[tokio::test]
async fn work_that_cannot_be_prepared_rolls_back_in_a_participant_and_commits_in_the_holder() {
    for (statement, word) in [
        ("NOTIFY news, 'x'", "NOTIFY"),
        (
            "CREATE TEMP TABLE scratch (n INTEGER) ON COMMIT DROP",
            "temporary",
        ),
    ] {
        let pair = Pair::<PostgresA, PostgresB>::new().await;
        let mut session = pair.binds.session();
        pair.write(&session, "gone").await.unwrap();
        PostgresB::sql(&session, statement).await.unwrap();
        let fault = pair.rolls_back(&mut session, "pg-b", &[]).await;
        assert!(
            matches!(fault, Fault::Refused(_)) && says(&fault, word),
            "{fault:?}"
        );

        let never = BindOptions::new().never_prepare();
        let pair = Pair::<PostgresA, PostgresB>::with(BindOptions::new(), never).await;
        let mut session = pair.binds.session();
        pair.write(&session, "kept").await.unwrap();
        PostgresB::sql(&session, statement).await.unwrap();
        let committed = pair.commits(&mut session, &["kept"]).await;
        assert_eq!(committed.gid().unwrap().holder(), "pg-b");
    }
}

#[tokio::test]
async fn ddl_in_a_branch_is_an_error_and_commits_nothing_behind_the_back() {
    let pair = Pair::<PostgresA, MariadbA>::new().await;
    for statement in [
        "CREATE TABLE sneaked (n INTEGER)",
        "TRUNCATE TABLE notes",
        "COMMIT",
        "START TRANSACTION",
    ] {
        let mut session = pair.binds.session();
        pair.write(&session, "gone").await.unwrap();
        let error = MariadbA::sql(&session, statement).await.unwrap_err();
        assert!(
            matches!(error, Error::Query { bind: "my-a", .. }),
            "{error:?}"
        );
        session.rollback_all().await.unwrap();
        assert_eq!(pair.rows().await, (vec![], vec![]), "{statement}");
    }
    // The branch stays open, for an application that goes on.
    let mut session = pair.binds.session();
    pair.write(&session, "kept").await.unwrap();
    MariadbA::sql(&session, "CREATE TABLE sneaked (n INTEGER)")
        .await
        .unwrap_err();
    let _ = pair.commits(&mut session, &["kept"]).await;
}

/// Regression test: savepoints keep the warnings of the statement before, and a warning reveals a table without
/// transactions. A unit whose last statement had a warning was refused.
#[tokio::test]
async fn a_warning_is_no_table_without_transactions() {
    let pair = Pair::<PostgresA, MariadbA>::new().await;
    for (number, warned) in [
        "DO CAST('a' AS SIGNED)",
        "INSERT IGNORE INTO notes (text) VALUES (NULL)",
    ]
    .into_iter()
    .enumerate()
    {
        let mut session = pair.binds.session();
        let text = format!("kept {number}");
        pair.write(&session, &text).await.unwrap();
        MariadbA::sql(&session, warned).await.unwrap();
        session.commit_all().await.unwrap();
    }
}

async fn a_table_without_transactions_refuses_the_unit<A: Side, M: Side>(because: &str) {
    let pair = Pair::<A, M>::new().await;
    M::admin(
        &pair.second,
        "CREATE TABLE loose (n INTEGER) ENGINE = MyISAM",
    )
    .await;
    let mut session = pair.binds.session();
    // In this order: MySQL with GTIDs refuses it in a transaction that has written.
    M::sql(&session, "INSERT INTO loose VALUES (1)")
        .await
        .unwrap();
    pair.write(&session, "gone").await.unwrap();
    let unit = session.unit();
    let error = session.commit_all().await.unwrap_err();
    assert!(
        matches!(
            &error,
            CommitError::TransactionEnded { bind, source: Fault::NonTransactional(_), .. } if *bind == because
        ),
        "{error:?}"
    );
    pair.holds(unit, &[]).await;
    pair.write(&session, "kept").await.unwrap();
    let _ = pair.commits(&mut session, &["kept"]).await;
}

#[tokio::test]
async fn a_table_without_transactions_is_refused_in_the_holder() {
    a_table_without_transactions_refuses_the_unit::<PostgresA, MariadbA>("my-a").await;
}

#[tokio::test]
async fn a_table_without_transactions_is_refused_in_a_participant() {
    a_table_without_transactions_refuses_the_unit::<Sqlite, MariadbA>("my-a").await;
    a_table_without_transactions_refuses_the_unit::<MariadbA, MariadbB>("my-b").await;
}

/// The rows of such a table stay written after a roll-back, so the unit must not report that nothing was kept.
#[tokio::test]
async fn a_table_without_transactions_is_accepted_of_a_lone_writer() {
    let world = World::of::<(MariadbA,)>(PoolKind::Deadpool).await;
    let database = &world.databases[0];
    MariadbA::admin(database, "CREATE TABLE loose (n INTEGER) ENGINE = MyISAM").await;
    let mut session = world.binds.session();
    MariadbA::sql(&session, "INSERT INTO loose VALUES (1)")
        .await
        .unwrap();
    MariadbA::write(&session, "kept").await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(MariadbA::rows(database).await, ["kept"]);
}

/// The row stays, so nothing may report that the unit is undone, however it ends.
#[tokio::test]
async fn a_table_without_transactions_is_never_reported_as_rolled_back() {
    for pair in [true, false] {
        let world = World::of::<(MariadbA, PostgresA)>(PoolKind::Deadpool).await;
        let loose = "CREATE TABLE loose (n INTEGER) ENGINE = MyISAM";
        MariadbA::admin(&world.databases[0], loose).await;
        for vetoed in [true, false] {
            let mut session = world.binds.session();
            let hooked = Arc::new(AtomicBool::new(false));
            let by_hook = Arc::clone(&hooked);
            session.after_rollback(async move |_| by_hook.store(true, Ordering::SeqCst));
            if pair {
                PostgresA::write(&session, "gone").await.unwrap();
            }
            let changed = MariadbA::sql(&session, "INSERT INTO loose VALUES (1)").await;
            assert_eq!(changed.unwrap(), 1);
            let ended = match vetoed {
                true => {
                    session.before_commit(async |_| Err::<(), _>("no"));
                    session.commit_all().await.map(drop)
                }
                false => session.rollback_all().await,
            };
            assert!(
                matches!(
                    ended,
                    Err(CommitError::TransactionEnded { bind: "my-a", .. })
                ),
                "{ended:?}"
            );
            assert!(!hooked.load(Ordering::SeqCst));
        }
        assert_eq!(PostgresA::rows(&world.databases[1]).await, [""; 0]);
    }
}

/// A warning of the application is none of the roll-back.
#[tokio::test]
async fn a_warning_before_a_roll_back_does_not_make_it_uncertain() {
    let world = World::of::<(MariadbA, PostgresA)>(PoolKind::Deadpool).await;
    for writes in [true, false] {
        let mut session = world.binds.session();
        if writes {
            MariadbA::write(&session, "gone").await.unwrap();
        }
        let warned = "SELECT CAST('x' AS SIGNED)";
        MariadbA::sql(&session, warned).await.unwrap();
        session.rollback_all().await.unwrap();
    }
}
