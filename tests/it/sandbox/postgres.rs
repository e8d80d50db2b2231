//! Behaviours of PostgreSQL alone: constraints that are checked at the commit, roles, the right to temporary tables.

use diesel_async::SimpleAsyncConnection as _;
use diesel_binds::error::Fault;
use diesel_binds::testing::{Sandbox, SandboxError};
use diesel_binds::{Binds, CommitError, RecoveryOptions, Source};
use kit::side::{PostgresA, Side};

use crate::suite::sandbox::{Outside, within};

const CHILDREN: &str = "CREATE SCHEMA family; \
    CREATE TABLE family.parents (id INTEGER PRIMARY KEY); \
    CREATE TABLE family.children (id INTEGER PRIMARY KEY, \
    parent INTEGER CONSTRAINT \"Of a parent\" REFERENCES family.parents DEFERRABLE INITIALLY DEFERRED, \
    twin INTEGER REFERENCES family.children DEFERRABLE)";

async fn run(session: &diesel_binds::Session, sql: &str) {
    PostgresA::sql(session, sql).await.unwrap();
}

/// The constraints are checked as in a real commit, and deferred again in the next unit.
#[tokio::test]
async fn constraints_that_are_deferred_are_checked_at_each_commit() {
    let outside = Outside::<PostgresA>::new().await;
    PostgresA::admin(&outside.database, CHILDREN).await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    for number in 0..3 {
        run(
            &session,
            &format!("INSERT INTO family.children VALUES ({number}, 7)"),
        )
        .await;
        let refused = session.commit_all().await;
        assert!(
            matches!(
                refused,
                Err(CommitError::RolledBack {
                    source: Fault::Refused(_),
                    ..
                })
            ),
            "{refused:?}"
        );
        // The child comes first, because its constraint is deferred.
        run(
            &session,
            &format!("INSERT INTO family.children VALUES ({number}, {number})"),
        )
        .await;
        run(
            &session,
            &format!("INSERT INTO family.parents VALUES ({number})"),
        )
        .await;
        session.commit_all().await.unwrap();
    }
    // A constraint that is initially immediate is immediate again in the next unit.
    run(&session, "SET CONSTRAINTS ALL DEFERRED").await;
    run(&session, "INSERT INTO family.children VALUES (10, 1, 11)").await;
    run(&session, "INSERT INTO family.children VALUES (11, 1, 10)").await;
    session.commit_all().await.unwrap();
    let refused = PostgresA::sql(&session, "INSERT INTO family.children VALUES (12, 1, 13)").await;
    refused.unwrap_err();
    session.rollback_all().await.unwrap();
    // An application may check its constraints itself, any number of times.
    for number in 20..23 {
        run(
            &session,
            &format!("INSERT INTO family.children VALUES ({number}, 1)"),
        )
        .await;
        run(&session, "SET CONSTRAINTS ALL IMMEDIATE").await;
        run(&session, "SET CONSTRAINTS ALL IMMEDIATE").await;
        session.commit_all().await.unwrap();
    }
    drop(session);
    sandbox.end().await.unwrap();
}

/// To load data past foreign keys, an application sets the role of its session to replica, in which no ordinary trigger
/// fires.
#[tokio::test]
async fn a_replica_does_not_commit_either() {
    let outside = Outside::<PostgresA>::new().await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    for text in ["one", "two"] {
        run(&session, "SET session_replication_role = replica").await;
        PostgresA::write(&session, text).await.unwrap();
        run(&session, "SET CONSTRAINTS ALL IMMEDIATE").await;
        session.commit_all().await.unwrap();
    }
    PostgresA::sql(&session, "COMMIT").await.unwrap_err();
    drop(session);
    let _ = sandbox.end().await;
    assert_eq!(outside.kept().await, ["there"]);
}

/// The role that a unit sets, with fewer rights, ends with the unit.
#[tokio::test]
async fn a_role_ends_with_its_unit() {
    let outside = Outside::<PostgresA>::new().await;
    let role = format!("role_of_{}", outside.database.name().unwrap());
    PostgresA::admin(
        &outside.database,
        &format!("CREATE ROLE {role}; GRANT SELECT, INSERT ON notes TO {role}; GRANT USAGE ON SEQUENCE notes_id_seq TO {role}"),
    )
    .await;
    let sandbox = outside.sandbox().await;
    let mut session = sandbox.binds().session();
    for text in ["one", "two"] {
        run(&session, &format!("SET LOCAL ROLE {role}")).await;
        run(&session, "SET CONSTRAINTS ALL IMMEDIATE").await;
        PostgresA::write(&session, text).await.unwrap();
        session.commit_all().await.unwrap();
        let user = PostgresA::text(&session, "SELECT current_user::text AS text").await;
        assert_eq!(user.unwrap(), "postgres");
        session.rollback_all().await.unwrap();
    }
    // A commit in another role is refused as well.
    run(&session, &format!("SET LOCAL ROLE {role}")).await;
    PostgresA::sql(&session, "COMMIT").await.unwrap_err();
    drop(session);
    let _ = sandbox.end().await;
    assert_eq!(outside.kept().await, ["there"]);
    PostgresA::admin(
        &outside.database,
        &format!("DROP OWNED BY {role}; DROP ROLE {role}"),
    )
    .await;
}

#[tokio::test]
async fn a_role_without_temporary_tables_gets_no_sandbox() {
    let outside = Outside::<PostgresA>::new().await;
    let name = outside.database.name().unwrap();
    let role = format!("login_of_{name}");
    PostgresA::admin(
        &outside.database,
        &format!("CREATE ROLE {role} LOGIN; REVOKE TEMPORARY ON DATABASE {name} FROM PUBLIC"),
    )
    .await;
    let mut url = url::Url::parse(outside.database.url()).unwrap();
    url.set_username(&role).unwrap();
    let binds = Binds::builder()
        .recovery(RecoveryOptions::new().without_worker())
        .bind(PostgresA, Source::url(url.as_str()))
        .build()
        .unwrap();
    let refused = Sandbox::of(&binds).bind(PostgresA).start().await;
    let error = refused.unwrap_err();
    assert!(matches!(error, SandboxError::Enclose { .. }), "{error:?}");
    assert!(error.to_string().contains("TEMPORARY"), "{error}");
    drop(binds);
    PostgresA::admin(&outside.database, &format!("DROP ROLE {role}")).await;
}

/// A sandbox is dropped in different states of its connection.
#[tokio::test]
async fn a_sandbox_that_is_dropped_frees_its_locks() {
    let outside = Outside::<PostgresA>::new().await;
    for number in 0..3 {
        let sandbox = outside.sandbox().await;
        let mut session = sandbox.binds().session();
        PostgresA::rename(&session, "there", "elsewhere")
            .await
            .unwrap();
        if number > 0 {
            session.commit_all().await.unwrap();
        }
        let handle = sandbox.binds().clone();
        drop(sandbox);
        if number == 1 {
            drop(session);
        } else {
            let mut connection = session.connection(PostgresA).await;
            if let Ok(connection) = &mut connection {
                let _ = connection.raw().unwrap().batch_execute("SELECT 1").await;
            }
            drop(connection);
            drop(session);
        }
        let after = handle.session();
        PostgresA::read(&after).await.unwrap_err();
    }
    let mut session = outside.binds.session();
    PostgresA::rename(&session, "there", "moved").await.unwrap();
    session.commit_all().await.unwrap();
    assert_eq!(outside.kept().await, ["moved"]);
    let sandbox = outside.sandbox().await;
    assert_eq!(within::<PostgresA>(&sandbox).await, ["moved"]);
}
