//! Binds that only read, binds that wrote unnoticed, and the cost of both.

use std::time::Duration;

use diesel_binds::{BindOptions, CommitError, Error, Session};
use kit::faulty::{CommitReport, Faulty, Limits};
use kit::proxy::Fault;
use kit::side::{MariadbA, PostgresA, PostgresB, PostgresPlain, Side};
use kit::world::Sides;

const POSTGRES_FUNCTION: &str = "CREATE FUNCTION note(t TEXT) RETURNS INTEGER LANGUAGE sql AS \
     'INSERT INTO notes (text) VALUES (t) RETURNING 1'";
const MARIADB_FUNCTION: &str = "CREATE FUNCTION note(t VARCHAR(200)) RETURNS INTEGER DETERMINISTIC MODIFIES SQL DATA \
     BEGIN INSERT INTO notes (text) VALUES (t); RETURN 1; END";

/// Starts databases behind proxies. The tests only read on the last one.
async fn faulty<S: Sides>() -> Faulty<S> {
    let limits = Limits {
        resolve: Duration::from_secs(5),
        ..Limits::default()
    };
    Faulty::start(limits, &BindOptions::new()).await
}

#[tokio::test]
async fn a_reader_beside_two_writers_prepares_nothing_and_records_nothing() {
    type World = (PostgresB, MariadbA, PostgresA);
    let faulty = faulty::<World>().await;
    let reader = faulty.proxy(2);
    reader.inject(Fault::before("PREPARE TRANSACTION"));
    let mut session = faulty.world.binds.session();
    PostgresB::write(&session, "kept").await.unwrap();
    MariadbA::write(&session, "kept").await.unwrap();
    assert!(PostgresA::read(&session).await.unwrap().is_empty());
    let committed = session.commit_all().await.unwrap();
    assert!(committed.committed().unwrap().pending().is_empty());
    assert_eq!(committed.binds().len(), 3);
    assert!(reader.disarm(), "the reader prepared");
}

#[tokio::test]
async fn a_reader_on_mariadb_prepares_nothing_and_does_not_decide() {
    let faulty = faulty::<(PostgresA, PostgresB, MariadbA)>().await;
    let reader = faulty.proxy(2);
    reader.inject(Fault::before("XA PREPARE"));
    let mut session = faulty.world.binds.session();
    PostgresA::write(&session, "kept").await.unwrap();
    PostgresB::write(&session, "kept").await.unwrap();
    assert!(MariadbA::read(&session).await.unwrap().is_empty());
    let committed = session.commit_all().await.unwrap();
    assert!(committed.committed().unwrap().pending().is_empty());
    assert_eq!(committed.gid().unwrap().holder(), "pg-a");
    assert!(reader.disarm(), "the reader prepared");

    // Beside one writer there is nothing to agree on.
    PostgresA::write(&session, "alone").await.unwrap();
    assert_eq!(MariadbA::read(&session).await.unwrap().len(), 0);
    let committed = session.commit_all().await.unwrap();
    assert_eq!(committed.gid(), None);
}

/// Asserts that a reader that has written prepares with the others, so that its loss is the loss of all.
async fn a_function_that_writes_prepares<S, R>(function: &str, prepare: &str)
where
    S: Sides,
    R: Side,
{
    let faulty = faulty::<S>().await;
    let last = faulty.world.databases.len() - 1;
    R::admin(&faulty.world.databases[last], function).await;
    let proxy = faulty.proxy(last);
    for (text, lost) in [("kept", false), ("gone", true), ("kept too", false)] {
        let mut session = faulty.world.binds.session();
        write_all_but_last(&faulty, &session, text).await.unwrap();
        R::read_sql(&session, &format!("SELECT note('{text}')"))
            .await
            .unwrap();
        if lost {
            proxy.inject(Fault::before(prepare));
        }
        let unit = session.unit();
        let result = session.commit_all().await;
        assert!(!proxy.disarm());
        assert_eq!(result.is_err(), lost, "{result:?}");
        if let Ok(committed) = &result {
            assert!(committed.gid().is_some());
            assert!(committed.committed().unwrap().pending().is_empty());
        }
        let attempt = kit::faulty::Attempt {
            unit,
            text: text.to_owned(),
            written: Ok(()),
            result,
        };
        faulty.judge(&attempt).await;
    }
}

async fn write_all_but_last<S: Sides>(
    faulty: &Faulty<S>,
    session: &Session,
    text: &str,
) -> Result<(), Error> {
    for key in S::keys().iter().take(faulty.world.databases.len() - 1) {
        match *key {
            "pg-a" => PostgresA::write(session, text).await?,
            "pg-b" => PostgresB::write(session, text).await?,
            "my-a" => MariadbA::write(session, text).await?,
            other => panic!("{other} is not written here"),
        };
    }
    Ok(())
}

#[tokio::test]
async fn a_function_that_writes_on_postgres_prepares_beside_one_writer() {
    a_function_that_writes_prepares::<(PostgresA, PostgresB), PostgresB>(
        POSTGRES_FUNCTION,
        "PREPARE TRANSACTION",
    )
    .await;
}

#[tokio::test]
async fn a_function_that_writes_on_postgres_prepares_beside_two_writers() {
    a_function_that_writes_prepares::<(PostgresA, MariadbA, PostgresB), PostgresB>(
        POSTGRES_FUNCTION,
        "PREPARE TRANSACTION",
    )
    .await;
}

/// The MariaDB bind becomes the holder, and so it decides.
#[tokio::test]
async fn a_function_that_writes_on_mariadb_decides_beside_one_writer() {
    a_function_that_writes_prepares::<(PostgresA, MariadbA), MariadbA>(
        MARIADB_FUNCTION,
        "'commit'",
    )
    .await;
}

/// Beside two writers, the holder is chosen before the MariaDB bind is asked.
#[tokio::test]
async fn a_function_that_writes_on_mariadb_prepares_beside_two_writers() {
    a_function_that_writes_prepares::<(PostgresA, PostgresB, MariadbA), MariadbA>(
        MARIADB_FUNCTION,
        "XA PREPARE",
    )
    .await;
}

/// The bind has to be the holder, so it is asked before a holder is chosen.
#[tokio::test]
async fn a_function_that_writes_where_nothing_can_prepare_decides_beside_two_writers() {
    a_function_that_writes_prepares::<(PostgresA, PostgresB, PostgresPlain), PostgresPlain>(
        POSTGRES_FUNCTION,
        "'commit'",
    )
    .await;
}

/// A serializable transaction that only read may still fail, so it ends before the decision.
#[tokio::test]
async fn a_serializable_reader_ends_before_the_decision() {
    for serializable in [false, true] {
        let faulty = faulty::<(PostgresA, PostgresB)>().await;
        let database = &faulty.world.databases[1];
        if serializable {
            let name = database.name().unwrap();
            let setting =
                format!("ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'");
            PostgresB::admin(database, &setting).await;
        }
        let mut session = faulty.world.binds.session();
        PostgresA::write(&session, "one").await.unwrap();
        assert!(PostgresB::read(&session).await.unwrap().is_empty());
        faulty.proxy(1).inject(Fault::before("COMMIT"));
        let result = session.commit_all().await;
        assert!(!faulty.proxy(1).disarm());
        let rows = PostgresA::rows(&faulty.world.databases[0]).await;
        if serializable {
            let error = result.unwrap_err();
            assert!(
                matches!(error, CommitError::RolledBack { bind: "pg-b", .. }),
                "{error:?}"
            );
            assert!(rows.is_empty());
        } else {
            let _ = result.unwrap();
            assert_eq!(rows, ["one"]);
        }
    }
}

/// The loss of a reader's end loses no write, so the unit is committed.
#[tokio::test]
async fn the_loss_of_a_reader_after_the_decision_changes_nothing() {
    let faulty = faulty::<(PostgresA, MariadbA, PostgresB)>().await;
    faulty.proxy(2).inject(Fault::before("COMMIT"));
    let mut session = faulty.world.binds.session();
    PostgresA::write(&session, "kept").await.unwrap();
    MariadbA::write(&session, "kept").await.unwrap();
    assert!(PostgresB::read(&session).await.unwrap().is_empty());
    let committed = session.commit_all().await.unwrap();
    assert!(!faulty.proxy(2).disarm());
    assert!(committed.committed().unwrap().pending().is_empty());
    let attempt = faulty.attempt("after").await;
    assert_eq!(faulty.judge(&attempt).await, CommitReport::COMMITTED);
}
