//! Behaviours of MariaDB alone: deadlocks that end a transaction, DDL that commits, tables without transactions.

use diesel_binds::error::Fault;
use diesel_binds::testing::{Sandbox, SandboxError};
use diesel_binds::units::Retried;
use diesel_binds::{CommitError, Error, Retry, Source};
use kit::side::{MariadbA, Side};
use tokio::sync::Barrier;

use crate::suite::sandbox::{Outside, within};

#[tokio::test]
async fn ddl_is_refused_and_the_unit_goes_on() {
    let outside = Outside::<MariadbA>::new().await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    MariadbA::write(&session, "one").await.unwrap();
    for ddl in [
        "CREATE TABLE escaped (id INTEGER)",
        "DROP TABLE notes",
        "TRUNCATE TABLE notes",
    ] {
        let refused = MariadbA::sql(&session, ddl).await;
        assert!(matches!(refused, Err(Error::Query { .. })), "{refused:?}");
    }
    session.commit_all().await.unwrap();
    assert_eq!(within::<MariadbA>(&sandbox).await, ["there", "one"]);
    sandbox.end().await.unwrap();
}

/// The server ends the transaction of one sandbox. Later statements must not commit by themselves.
#[tokio::test]
async fn a_deadlock_ends_one_sandbox_and_keeps_nothing() {
    let outside = Outside::<MariadbA>::new().await;
    MariadbA::admin(
        &outside.database,
        "CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO counters VALUES (1, 0), (2, 0)",
    )
    .await;
    let (one, two) = (outside.sandbox().await, outside.sandbox().await);
    let (first, second) = (one.binds().session(), two.binds().session());
    let count = |id| format!("UPDATE counters SET n = n + 1 WHERE id = {id}");
    let (one_up, two_up) = (count(1), count(2));
    MariadbA::sql(&first, &one_up).await.unwrap();
    MariadbA::sql(&second, &two_up).await.unwrap();
    let (a, b) = tokio::join!(
        MariadbA::sql(&first, &two_up),
        MariadbA::sql(&second, &one_up),
    );
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    let ((winner, won), (loser, lost)) = match a.is_ok() {
        true => ((first, one), (second, two)),
        false => ((second, two), (first, one)),
    };
    let mut loser = loser;
    MariadbA::write(&loser, "by itself").await.unwrap_err();
    loser.commit_all().await.unwrap_err();
    let later = MariadbA::write(&loser, "by itself").await;
    assert!(
        matches!(later, Err(Error::Sandbox(SandboxError::Lost { .. }))),
        "{later:?}"
    );
    drop(loser);
    let ended = lost.end().await;
    assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
    drop(winner);
    won.end().await.unwrap();
    assert_eq!(outside.kept().await, ["there"]);
    let session = outside.binds.session();
    let left = "SELECT CAST(SUM(n) AS CHAR) AS text FROM counters";
    assert_eq!(MariadbA::text(&session, left).await.unwrap(), "0");
}

/// Regression test: another attempt can only find that the sandbox is lost, and that became the error.
#[tokio::test]
async fn a_deadlock_is_not_run_again_and_is_the_error() {
    let outside = Outside::<MariadbA>::new().await;
    MariadbA::admin(
        &outside.database,
        "CREATE TABLE counters (id INTEGER PRIMARY KEY, n INTEGER); INSERT INTO counters VALUES (1, 0), (2, 0)",
    )
    .await;
    let (one, two) = (outside.sandbox().await, outside.sandbox().await);
    let both = Barrier::new(2);
    let (a, b) = tokio::join!(
        count_two(&one, [1, 2], &both),
        count_two(&two, [2, 1], &both)
    );
    let (failed, lost, won) = match (a, b) {
        (Ok(()), Err(failed)) => (failed, two, one),
        (Err(failed), Ok(())) => (failed, one, two),
        other => panic!("{other:?}"),
    };
    assert_eq!(failed.attempts(), 1, "{failed:?}");
    let said = failed.error().diesel().unwrap().to_string();
    assert!(said.contains("Deadlock"), "{said}");
    let ended = lost.end().await;
    assert!(matches!(ended, Err(SandboxError::Lost { .. })), "{ended:?}");
    won.end().await.unwrap();
}

async fn count_two(
    sandbox: &Sandbox,
    [first, second]: [u8; 2],
    both: &Barrier,
) -> Result<(), Retried<Error>> {
    let count = |id| format!("UPDATE counters SET n = n + 1 WHERE id = {id}");
    let (first, second) = (count(first), count(second));
    let retrying = sandbox.binds().retrying(Retry::new());
    retrying
        .transaction(async |session| {
            MariadbA::sql(session, &first).await?;
            both.wait().await;
            MariadbA::sql(session, &second).await?;
            Ok(())
        })
        .await
}

/// A roll-back cannot undo such a write: the unit is refused, and the end of the sandbox reports the write.
#[tokio::test]
async fn a_table_without_transactions_is_reported() {
    let outside = Outside::<MariadbA>::new().await;
    MariadbA::admin(
        &outside.database,
        "CREATE TABLE flat (id INTEGER) ENGINE = MyISAM",
    )
    .await;
    for commits in [true, false] {
        let sandbox = outside.sandbox().await;
        let mut session = sandbox.binds().session();
        MariadbA::sql(&session, "INSERT INTO flat VALUES (1)")
            .await
            .unwrap();
        if commits {
            let refused = session.commit_all().await;
            assert!(
                matches!(
                    refused,
                    Err(CommitError::RolledBack {
                        source: Fault::NonTransactional(_),
                        ..
                    })
                ),
                "{refused:?}"
            );
        }
        drop(session);
        let ended = sandbox.end().await;
        assert!(matches!(ended, Err(SandboxError::Kept { .. })), "{ended:?}");
    }
}

/// A bind that wrote by a function in a `SELECT` is a writer, as in a real commit.
#[tokio::test]
async fn a_writer_that_no_type_tells_is_one() {
    let outside = Outside::<MariadbA>::new().await;
    MariadbA::admin(
        &outside.database,
        "CREATE FUNCTION note() RETURNS INTEGER DETERMINISTIC BEGIN INSERT INTO notes (text) VALUES ('by function'); RETURN 1; END; \
         DROP TABLE diesel_binds_meta",
    )
    .await;
    let other = Outside::<kit::side::PostgresA>::new().await;
    let builder = diesel_binds::Binds::builder()
        .namespace("sandbox")
        .recovery(diesel_binds::RecoveryOptions::new().without_worker())
        .bind(MariadbA, Source::url(outside.database.url()))
        .bind(kit::side::PostgresA, Source::url(other.database.url()));
    let binds = builder.build().unwrap();
    let sandbox = diesel_binds::testing::Sandbox::of(&binds)
        .bind(MariadbA)
        .bind(kit::side::PostgresA);
    let sandbox = sandbox.start().await.unwrap();
    let mut session = sandbox.binds().session();
    kit::side::PostgresA::write(&session, "one").await.unwrap();
    MariadbA::read_sql(&session, "SELECT note()").await.unwrap();
    let refused = session.commit_all().await;
    assert!(
        matches!(
            refused,
            Err(CommitError::RolledBack {
                source: Fault::NotInstalled(_),
                ..
            })
        ),
        "{refused:?}"
    );
    sandbox.end().await.unwrap();
}
