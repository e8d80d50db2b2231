//! Facts about MariaDB.

use std::time::Duration;

use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl as _};
use futures_util::FutureExt as _;
use kit::admin::Admin;
use kit::database::Database;
use kit::servers::Server;
use tokio::time::sleep;

use crate::facts::{database_with, refused, unique};

#[derive(QueryableByName)]
struct Recovered {
    #[diesel(sql_type = diesel::sql_types::Text)]
    data: String,
}

async fn database() -> (Database, Admin) {
    let table = "CREATE TABLE t (n INTEGER PRIMARY KEY) ENGINE = InnoDB";
    database_with(Server::MariadbA, table).await
}

async fn numbers(database: &Database) -> Vec<String> {
    let mut admin = Admin::connect(database.url()).await;
    admin
        .values("SELECT CAST(n AS CHAR) AS value FROM t ORDER BY n")
        .await
        .unwrap()
}

async fn listed(url: &str, xid: &str) -> bool {
    let mut connection = AsyncMysqlConnection::establish(url).await.unwrap();
    let rows: Vec<Recovered> = sql_query("XA RECOVER").load(&mut connection).await.unwrap();
    rows.iter().any(|row| row.data == xid)
}

async fn prepare(admin: &mut Admin, xid: &str) {
    admin
        .run(&format!(
            "XA START '{xid}'; INSERT INTO t VALUES (1); XA END '{xid}'; XA PREPARE '{xid}'"
        ))
        .await
        .unwrap();
}

/// Waits until the server has noticed that a connection is gone, and finishes its branch.
async fn finish(database: &Database, verb: &str, xid: &str) {
    let mut admin = Admin::connect(database.url()).await;
    // A branch that is finished while its connection is just closing would be lost.
    sleep(Duration::from_millis(100)).await;
    for _ in 0..500 {
        if admin.run(&format!("XA {verb} '{xid}'")).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("{xid} cannot be finished");
}

#[tokio::test]
async fn xa_recover_lists_the_whole_server() {
    let (database, mut admin) = database().await;
    let other = Database::on(Server::MariadbA).await;
    let xid = unique("whole");
    prepare(&mut admin, &xid).await;
    assert!(listed(other.url(), &xid).await);
    drop(admin);
    finish(&database, "ROLLBACK", &xid).await;
}

#[tokio::test]
async fn a_branch_is_unknown_to_others_although_listed_while_its_connection_lives() {
    let (database, mut admin) = database().await;
    let xid = unique("lives");
    prepare(&mut admin, &xid).await;
    let mut other = Admin::connect(database.url()).await;
    refused(other.run(&format!("XA COMMIT '{xid}'")).await, "XAER_NOTA");
    assert!(listed(database.url(), &xid).await);
    drop(admin);
    finish(&database, "COMMIT", &xid).await;
    assert_eq!(numbers(&database).await, ["1"]);
}

#[tokio::test]
async fn a_killed_connection_lets_its_branch_go() {
    let (database, mut admin) = database().await;
    let xid = unique("killed");
    let id = admin
        .values("SELECT CAST(CONNECTION_ID() AS CHAR) AS value")
        .await
        .unwrap();
    prepare(&mut admin, &xid).await;
    let mut other = Admin::connect(database.url()).await;
    other.run(&format!("KILL {}", id.join(""))).await.unwrap();
    finish(&database, "COMMIT", &xid).await;
    assert_eq!(numbers(&database).await, ["1"]);
}

#[tokio::test]
async fn a_row_of_a_prepared_branch_is_seen_uncommitted_only() {
    let (database, mut admin) = database().await;
    let xid = unique("row");
    prepare(&mut admin, &xid).await;
    drop(admin);
    assert!(numbers(&database).await.is_empty());
    let mut other = Admin::connect(database.url()).await;
    other
        .run("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        .await
        .unwrap();
    let read = "SELECT CAST(n AS CHAR) AS value FROM t";
    assert_eq!(other.values(read).await.unwrap(), ["1"]);
    assert!(
        other.values(read).await.unwrap().is_empty(),
        "the level holds for one statement"
    );
    finish(&database, "ROLLBACK", &xid).await;
}

#[tokio::test]
async fn statements_that_would_commit_are_refused_inside_xa() {
    let (database, mut admin) = database().await;
    let xid = unique("ddl");
    admin
        .run(&format!("XA START '{xid}'; INSERT INTO t VALUES (1)"))
        .await
        .unwrap();
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
        .run(&format!("XA END '{xid}'; XA COMMIT '{xid}' ONE PHASE"))
        .await
        .unwrap();
    assert_eq!(numbers(&database).await, ["1"]);
}

#[tokio::test]
async fn a_table_without_transactions_is_written_silently_inside_xa() {
    let (database, mut admin) = database().await;
    let xid = unique("myisam");
    admin
        .run("CREATE TABLE loose (n INTEGER) ENGINE = MyISAM")
        .await
        .unwrap();
    admin
        .run(&format!(
            "XA START '{xid}'; INSERT INTO loose VALUES (1); XA END '{xid}'; XA ROLLBACK '{xid}'"
        ))
        .await
        .unwrap();
    let mut other = Admin::connect(database.url()).await;
    let rows = other
        .values("SELECT CAST(n AS CHAR) AS value FROM loose")
        .await
        .unwrap();
    assert_eq!(rows, ["1"], "it stays");
}

#[tokio::test]
async fn undoing_nothing_warns_when_a_table_without_transactions_was_written() {
    let (_database, mut admin) = database().await;
    admin
        .run("CREATE TABLE loose (n INTEGER) ENGINE = MyISAM")
        .await
        .unwrap();
    for (statement, warnings) in [
        ("INSERT INTO t VALUES (1)", "0"),
        ("INSERT INTO loose VALUES (1)", "1"),
    ] {
        let xid = unique("warning");
        admin
            .run(&format!(
                "XA START '{xid}'; {statement}; SAVEPOINT s; ROLLBACK TO SAVEPOINT s; SET @w = @@warning_count"
            ))
            .await
            .unwrap();
        let noted = admin
            .values("SELECT CAST(@w AS CHAR) AS value")
            .await
            .unwrap();
        assert_eq!(noted, [warnings], "{statement}");
        admin
            .run(&format!("XA END '{xid}'; XA ROLLBACK '{xid}'"))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_duplicate_key_leaves_the_branch_alive() {
    let (database, mut admin) = database().await;
    let xid = unique("duplicate");
    admin
        .run(&format!("XA START '{xid}'; INSERT INTO t VALUES (1)"))
        .await
        .unwrap();
    refused(
        admin.run("INSERT INTO t VALUES (1)").await,
        "Duplicate entry",
    );
    admin
        .run(&format!("XA END '{xid}'; XA COMMIT '{xid}' ONE PHASE"))
        .await
        .unwrap();
    assert_eq!(numbers(&database).await, ["1"]);
}

#[tokio::test]
async fn a_fence_waits_for_a_decision_in_flight() {
    let (database, mut deciding) = database().await;
    deciding
        .run("START TRANSACTION; INSERT INTO t VALUES (7)")
        .await
        .unwrap();
    let mut asking = Admin::connect(database.url()).await;
    asking
        .run("SET SESSION innodb_lock_wait_timeout = 1")
        .await
        .unwrap();
    refused(
        asking.run("INSERT INTO t VALUES (7)").await,
        "Lock wait timeout",
    );
    asking
        .run("SET SESSION innodb_lock_wait_timeout = 20")
        .await
        .unwrap();
    let (fenced, ()) = tokio::join!(asking.run("INSERT IGNORE INTO t VALUES (7)"), async {
        deciding.run("COMMIT").await.unwrap();
    });
    fenced.unwrap();
    assert_eq!(numbers(&database).await, ["7"]);
}

#[tokio::test]
async fn under_repeatable_read_a_plain_select_after_the_fence_can_miss_the_decision() {
    let (database, mut deciding) = database().await;
    let select = "SELECT CAST(n AS CHAR) AS value FROM t WHERE n = 7";
    for (level, seen) in [("REPEATABLE READ", false), ("READ COMMITTED", true)] {
        deciding.run("DELETE FROM t").await.unwrap();
        let mut asking = Admin::connect(database.url()).await;
        asking
            .run(&format!(
                "SET SESSION innodb_snapshot_isolation = OFF; \
                 SET SESSION TRANSACTION ISOLATION LEVEL {level}; START TRANSACTION"
            ))
            .await
            .unwrap();
        assert!(asking.values(select).await.unwrap().is_empty());
        deciding.run("INSERT INTO t VALUES (7)").await.unwrap();
        asking.run("INSERT IGNORE INTO t VALUES (7)").await.unwrap();
        assert_eq!(
            !asking.values(select).await.unwrap().is_empty(),
            seen,
            "{level}"
        );
    }
}

/// Therefore error 1020 is a conflict: a unit with it has nothing left on the server.
#[tokio::test]
async fn with_snapshot_isolation_a_row_changed_since_the_snapshot_ends_the_transaction() {
    let (database, mut changing) = database().await;
    for (statement, seen) in [
        // The fence of a decision that came after the snapshot.
        ("INSERT IGNORE INTO t VALUES (7)", "7"),
        ("UPDATE t SET n = n + 1 WHERE n = 8", "8"),
    ] {
        changing.run("DELETE FROM t").await.unwrap();
        let mut asking = Admin::connect(database.url()).await;
        asking
            .run("SET SESSION innodb_snapshot_isolation = ON; START TRANSACTION")
            .await
            .unwrap();
        asking.run("INSERT INTO t VALUES (1)").await.unwrap();
        asking
            .values("SELECT CAST(n AS CHAR) AS value FROM t")
            .await
            .unwrap();
        changing
            .run(&format!("INSERT INTO t VALUES ({seen})"))
            .await
            .unwrap();
        refused(
            asking.run(statement).await,
            "Record has changed since last read",
        );
        let state = "SELECT CAST(@@in_transaction AS CHAR) AS value";
        assert_eq!(asking.values(state).await.unwrap(), ["0"], "{statement}");
        asking.run("COMMIT").await.unwrap();
        assert_eq!(numbers(&database).await, [seen], "{statement}");
    }
}

#[tokio::test]
async fn snapshot_isolation_is_the_default_of_later_releases() {
    let mut admin = Admin::connect(Server::MariadbA.url().as_str()).await;
    let is_on = "SELECT VARIABLE_VALUE AS value FROM information_schema.GLOBAL_VARIABLES \
                 WHERE VARIABLE_NAME = 'innodb_snapshot_isolation'";
    let expected = match admin.mariadb_version().await {
        later if later >= (11, 7) => "ON",
        _ => "OFF",
    };
    assert_eq!(admin.values(is_on).await.unwrap(), [expected]);
}

/// Therefore a connection with an unread reply is never used again.
#[tokio::test]
async fn after_a_dropped_future_the_next_statement_reads_the_reply_before() {
    let database = Database::on(Server::MariadbA).await;
    let mut connection = AsyncMysqlConnection::establish(database.url())
        .await
        .unwrap();
    let select = |number: i64| {
        diesel::select(diesel::IntoSql::into_sql::<diesel::sql_types::BigInt>(
            number,
        ))
    };
    let first: i64 = select(1).get_result(&mut connection).await.unwrap();
    assert_eq!(first, 1);
    let mut lies = 0;
    for polls in 1..8 {
        let mut connection = AsyncMysqlConnection::establish(database.url())
            .await
            .unwrap();
        // The statement is prepared and cached, so that it is one message.
        let _: i64 = select(0).get_result(&mut connection).await.unwrap();
        {
            let mut dropped = Box::pin(select(41).get_result::<i64>(&mut connection));
            let mut done = false;
            for _ in 0..polls {
                done = done || (&mut dropped).now_or_never().is_some();
                tokio::task::yield_now().await;
            }
            if done {
                break;
            }
        }
        if let Ok(41) = select(42).get_result::<i64>(&mut connection).await {
            lies += 1;
        }
    }
    assert!(lies > 0, "no reply was late");
}

/// Therefore a commit by autocommit sets the isolation level of the session to itself.
#[tokio::test]
async fn a_level_for_one_transaction_stays_when_autocommit_ends_it() {
    let (_database, mut admin) = database().await;
    for (end, left) in [
        ("SET autocommit = 1", "READ COMMITTED"),
        (
            "SET autocommit = 1, autocommit = @before, SESSION tx_isolation = @@SESSION.tx_isolation",
            "REPEATABLE READ",
        ),
        ("COMMIT; SET autocommit = @before", "REPEATABLE READ"),
        ("ROLLBACK; SET autocommit = @before", "REPEATABLE READ"),
    ] {
        admin
            .run(&format!(
                "SET @before = @@autocommit, autocommit = 0; SET TRANSACTION ISOLATION LEVEL READ COMMITTED; \
                 START TRANSACTION; INSERT INTO t VALUES (1) ON DUPLICATE KEY UPDATE n = n; {end}; \
                 START TRANSACTION; SELECT * FROM t"
            ))
            .await
            .unwrap();
        // The list is renewed ten times a second at most.
        sleep(Duration::from_millis(200)).await;
        let level = admin
            .values(
                "SELECT CONCAT(trx_isolation_level) AS value FROM information_schema.innodb_trx \
                 WHERE trx_mysql_thread_id = CONNECTION_ID()",
            )
            .await;
        assert_eq!(level.unwrap(), [left], "{end}");
        admin.run("ROLLBACK").await.unwrap();
    }
}

/// Therefore the commit of a unit fails if the server has ended its transaction.
#[tokio::test]
async fn an_expression_is_evaluated_before_autocommit_commits() {
    let (_database, mut admin) = database().await;
    let end = "SET autocommit = IF(@@in_transaction, 'ON', 'the server has ended the transaction')";
    let begin = "SET autocommit = 0; START TRANSACTION; INSERT INTO t VALUES (77)";
    let refused_end = admin.run(&format!("{begin}; ROLLBACK; {end}")).await;
    refused(refused_end, "the server has ended the transaction");
    admin
        .run(&format!("{begin}; {end}; ROLLBACK"))
        .await
        .unwrap();
    let rows = admin.values("SELECT CAST(n AS CHAR) AS value FROM t WHERE n = 77");
    assert_eq!(rows.await.unwrap(), ["77"]);
}

/// A killed statement ends in the same way.
#[tokio::test]
async fn a_do_that_is_interrupted_succeeds_and_leaves_a_warning() {
    let (_database, mut admin) = database().await;
    let sleeping = "(SELECT SLEEP(60) FROM (SELECT 1) AS nothing)";
    let limited = "SET STATEMENT max_statement_time = 0.05 FOR";
    admin
        .run(&format!("{limited} DO {sleeping}"))
        .await
        .unwrap();
    let end = "XA START 'x'; XA END 'x'; XA ROLLBACK 'x'";
    admin.run(end).await.unwrap();
    let warnings = "SELECT CAST(@@warning_count AS CHAR) AS value";
    assert_eq!(admin.values(warnings).await.unwrap(), ["1"]);
    let set = format!("{limited} SET @slept = {sleeping}");
    admin.run(&set).await.unwrap_err();
}
