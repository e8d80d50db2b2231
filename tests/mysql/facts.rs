//! Facts about MySQL that the library relies on, verified without it.

use diesel::QueryResult;
use kit::admin::Admin;
use kit::database::Database;
use kit::prepared::listed;
use kit::servers::Server;

async fn database() -> (Database, Admin) {
    let database = Database::on(Server::MysqlA).await;
    let mut admin = Admin::connect(database.url()).await;
    let table = "CREATE TABLE t (n INTEGER PRIMARY KEY) ENGINE = InnoDB";
    admin.run(table).await.unwrap();
    (database, admin)
}

/// Connects as an account with rights on the databases of tests only.
async fn as_app(database: &Database) -> Admin {
    Admin::connect(&database.app_url()).await
}

/// Returns a name that no other test uses on the server.
fn unique(name: &str) -> String {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static COUNTER: AtomicUsize = AtomicUsize::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    format!("fact_{name}_{}_{number}", std::process::id())
}

#[track_caller]
fn refused<T: std::fmt::Debug>(result: QueryResult<T>, words: &str) {
    let error = result.unwrap_err().to_string();
    assert!(error.contains(words), "`{error}` does not say `{words}`");
}

async fn prepare(admin: &mut Admin, xid: &str) {
    let message =
        format!("XA START '{xid}'; INSERT INTO t VALUES (1); XA END '{xid}'; XA PREPARE '{xid}'");
    admin.run(&message).await.unwrap();
}

async fn numbers(admin: &mut Admin) -> Vec<String> {
    let numbers = "SELECT CAST(n AS CHAR) AS value FROM t ORDER BY n";
    admin.values(numbers).await.unwrap()
}

#[tokio::test]
async fn branches_are_listed_only_to_privileged_roles_and_only_as_text() {
    let (database, mut admin) = database().await;
    refused(
        as_app(&database).await.run("XA RECOVER").await,
        "XAER_RMERR",
    );
    refused(
        admin.values("XA RECOVER").await,
        "not supported in the prepared statement protocol",
    );
}

#[tokio::test]
async fn any_connection_and_role_finishes_a_branch_while_its_connection_lives() {
    let (database, mut admin) = database().await;
    for (verb, kept) in [("ROLLBACK", false), ("COMMIT", true)] {
        let xid = unique("others");
        prepare(&mut admin, &xid).await;
        assert!(listed(database.url(), &xid).await);
        let mut other = as_app(&database).await;
        other.run(&format!("XA {verb} '{xid}'")).await.unwrap();
        assert!(!listed(database.url(), &xid).await);
        refused(admin.run(&format!("XA {verb} '{xid}'")).await, "XAER_NOTA");
        assert_eq!(numbers(&mut other).await.len(), usize::from(kept));
    }
}

#[tokio::test]
async fn a_branch_is_unknown_to_others_before_it_is_prepared() {
    let (database, mut admin) = database().await;
    let xid = unique("active");
    admin
        .run(&format!("XA START '{xid}'; INSERT INTO t VALUES (1)"))
        .await
        .unwrap();
    let mut other = as_app(&database).await;
    for verb in ["ROLLBACK", "COMMIT"] {
        refused(other.run(&format!("XA {verb} '{xid}'")).await, "XAER_NOTA");
    }
    admin
        .run(&format!("XA END '{xid}'; XA ROLLBACK '{xid}'"))
        .await
        .unwrap();
}

/// A branch without a row of its own would not be found.
#[tokio::test]
async fn a_prepared_branch_protects_its_row_and_its_table() {
    let (database, mut admin) = database().await;
    let xid = unique("row");
    prepare(&mut admin, &xid).await;
    drop(admin);
    let mut other = as_app(&database).await;
    assert!(numbers(&mut other).await.is_empty());
    other
        .run("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        .await
        .unwrap();
    assert_eq!(numbers(&mut other).await, ["1"]);
    assert!(
        numbers(&mut other).await.is_empty(),
        "the level holds for one statement"
    );
    other
        .run("SET SESSION innodb_lock_wait_timeout = 1, SESSION lock_wait_timeout = 1")
        .await
        .unwrap();
    for statement in [
        "DELETE FROM t",
        "UPDATE t SET n = 2",
        "TRUNCATE TABLE t",
        "DROP TABLE t",
        "ALTER TABLE t ADD m INTEGER",
        "RENAME TABLE t TO u",
    ] {
        refused(other.run(statement).await, "Lock wait timeout exceeded");
    }
    other.run(&format!("XA COMMIT '{xid}'")).await.unwrap();
    assert_eq!(numbers(&mut other).await, ["1"]);
}

#[tokio::test]
async fn only_privileged_roles_attach_branches_and_none_within_a_branch() {
    let (database, mut admin) = database().await;
    let attach = "SET SESSION xa_detach_on_prepare = OFF";
    refused(as_app(&database).await.run(attach).await, "Access denied");
    let xid = unique("attach");
    admin.run(&format!("XA START '{xid}'")).await.unwrap();
    refused(admin.run(attach).await, "ongoing transaction");
    admin
        .run(&format!("XA END '{xid}'; XA ROLLBACK '{xid}'"))
        .await
        .unwrap();
    admin.run(attach).await.unwrap();
    let is_off = "SELECT CAST(@@SESSION.xa_detach_on_prepare AS CHAR) AS value";
    assert_eq!(admin.values(is_off).await.unwrap(), ["0"]);
}

#[tokio::test]
async fn a_branch_refuses_temporary_tables_and_whatever_would_commit() {
    let (_database, mut admin) = database().await;
    admin
        .run("CREATE TEMPORARY TABLE own (n INTEGER)")
        .await
        .unwrap();
    let xid = unique("ddl");
    admin.run(&format!("XA START '{xid}'")).await.unwrap();
    refused(
        admin.run("INSERT INTO own VALUES (1)").await,
        "Temporary tables cannot be accessed inside XA",
    );
    for statement in [
        "CREATE TABLE u (n INTEGER)",
        "TRUNCATE TABLE t",
        "COMMIT",
        "ROLLBACK",
        "START TRANSACTION",
    ] {
        refused(admin.run(statement).await, "XAER_RMFAIL");
    }
    admin
        .run(&format!("XA END '{xid}'; XA ROLLBACK '{xid}'"))
        .await
        .unwrap();
}

/// The server has no variable for it.
#[tokio::test]
async fn the_access_mode_can_be_changed_only_outside_of_a_transaction() {
    let (_database, mut admin) = database().await;
    refused(
        admin.values("SELECT @@in_transaction AS value").await,
        "Unknown system variable",
    );
    const CHANGE: &str = "SET TRANSACTION READ WRITE";
    admin.run(CHANGE).await.unwrap();
    let xid = unique("mode");
    for (begin, end) in [
        ("START TRANSACTION", "ROLLBACK".to_owned()),
        ("START TRANSACTION READ ONLY", "COMMIT".to_owned()),
        (
            "SET autocommit = 0; START TRANSACTION",
            "ROLLBACK".to_owned(),
        ),
        (
            "SET autocommit = 0; INSERT INTO t VALUES (7)",
            "ROLLBACK".to_owned(),
        ),
        (
            &*format!("XA START '{xid}'"),
            format!("XA END '{xid}'; XA ROLLBACK '{xid}'"),
        ),
    ] {
        admin.run(begin).await.unwrap();
        refused(
            admin.run(CHANGE).await,
            "while a transaction is in progress",
        );
        admin.run(&end).await.unwrap();
        admin.run(CHANGE).await.unwrap();
        admin.run("SET autocommit = 1").await.unwrap();
    }
    // Without autocommit, a transaction begins with the first statement that needs one.
    admin.run("SET autocommit = 0").await.unwrap();
    admin.run(CHANGE).await.unwrap();
}

#[tokio::test]
async fn a_deadlock_leaves_a_branch_that_refuses_every_statement_with_a_table() {
    let (database, mut first) = database().await;
    first.run("INSERT INTO t VALUES (1), (2)").await.unwrap();
    let mut second = Admin::connect(database.url()).await;
    let (one, two) = (unique("deadlock"), unique("deadlock"));
    first
        .run(&format!(
            "XA START '{one}'; SELECT n FROM t WHERE n = 1 FOR UPDATE"
        ))
        .await
        .unwrap();
    // The transaction that has changed more rows goes on.
    second
        .run(&format!(
            "XA START '{two}'; INSERT INTO t VALUES (3), (4), (5); SELECT n FROM t WHERE n = 2 FOR UPDATE"
        ))
        .await
        .unwrap();
    let (victim, winner) = tokio::join!(
        first.run("SELECT n FROM t WHERE n = 2 FOR UPDATE"),
        second.run("SELECT n FROM t WHERE n = 1 FOR UPDATE"),
    );
    winner.unwrap();
    refused(victim, "Deadlock found");
    first.run("SET TRANSACTION READ WRITE").await.unwrap();
    for statement in [
        "INSERT INTO t VALUES (6)",
        "SELECT n FROM t",
        "DO (SELECT 1 FROM (SELECT 1) AS no_table)",
        &*format!("XA END '{one}'"),
    ] {
        refused(first.run(statement).await, "XA_RBDEADLOCK");
    }
    first.run(&format!("XA ROLLBACK '{one}'")).await.unwrap();
    second
        .run(&format!("XA END '{two}'; XA ROLLBACK '{two}'"))
        .await
        .unwrap();
    assert_eq!(numbers(&mut first).await, ["1", "2"]);
}

#[tokio::test]
async fn without_autocommit_a_row_behind_the_end_of_a_branch_is_not_kept() {
    let (database, mut admin) = database().await;
    let xid = unique("behind");
    admin
        .run(&format!(
            "SET autocommit = 0; XA START '{xid}'; INSERT INTO t VALUES (1); XA END '{xid}'; XA ROLLBACK '{xid}'; \
             INSERT INTO t VALUES (2)"
        ))
        .await
        .unwrap();
    drop(admin);
    assert!(numbers(&mut as_app(&database).await).await.is_empty());
}

#[tokio::test]
async fn a_value_that_is_not_valid_keeps_a_set_from_committing() {
    let (database, mut admin) = database().await;
    let commit = |number| {
        format!(
            "SET autocommit = IF(EXISTS (SELECT 1 FROM t WHERE n = {number}), 'ON', 'it has ended'), autocommit = 1"
        )
    };
    admin
        .run("SET autocommit = 0; START TRANSACTION; INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    refused(admin.run(&commit(2)).await, "it has ended");
    assert!(numbers(&mut as_app(&database).await).await.is_empty());
    admin.run(&commit(1)).await.unwrap();
    assert_eq!(numbers(&mut as_app(&database).await).await, ["1"]);
}

#[tokio::test]
async fn the_limit_of_a_statement_ends_queries_only() {
    let (_database, mut admin) = database().await;
    admin.run("INSERT INTO t VALUES (1)").await.unwrap();
    admin
        .run("SET SESSION max_execution_time = 100")
        .await
        .unwrap();
    let query = admin.run("SELECT n FROM t WHERE SLEEP(1) = 0").await;
    refused(query, "maximum statement execution time exceeded");
    admin
        .run("UPDATE t SET n = n + 1 WHERE SLEEP(1) = 0")
        .await
        .unwrap();
    assert_eq!(numbers(&mut admin).await, ["2"]);
}

#[tokio::test]
async fn every_role_may_ask_how_many_rows_its_session_has_written() {
    let (database, _admin) = database().await;
    let mut app = as_app(&database).await;
    const WRITTEN: &str = "SELECT CAST(SUM(VARIABLE_VALUE) AS CHAR) AS value FROM performance_schema.session_status \
                           WHERE VARIABLE_NAME IN ('Handler_write', 'Handler_update', 'Handler_delete')";
    let before = app.values(WRITTEN).await.unwrap();
    assert_eq!(
        app.values(WRITTEN).await.unwrap(),
        before,
        "asking writes nothing"
    );
    numbers(&mut app).await;
    assert_eq!(app.values(WRITTEN).await.unwrap(), before);
    app.run("INSERT INTO t VALUES (1)").await.unwrap();
    assert_ne!(app.values(WRITTEN).await.unwrap(), before);
}

#[tokio::test]
async fn md5_is_gone() {
    let (_database, mut admin) = database().await;
    refused(admin.values("SELECT MD5('a') AS value").await, "MD5");
    let digest = "SELECT LEFT(SHA2('a', 256), 32) AS value";
    assert_eq!(admin.values(digest).await.unwrap()[0].len(), 32);
}

#[tokio::test]
async fn the_server_does_not_call_itself_mariadb() {
    let (_database, mut admin) = database().await;
    let version = admin.values("SELECT VERSION() AS value").await.unwrap();
    assert!(!version[0].contains("MariaDB"), "{version:?}");
}
