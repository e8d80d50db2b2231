//! Facts about PostgreSQL.

use std::time::Duration;

use kit::admin::Admin;
use kit::database::Database;
use kit::servers::Server;
use tokio::time::timeout;

use crate::facts::{database_with, refused, unique};

async fn database() -> (Database, Admin) {
    database_with(Server::PostgresA, "CREATE TABLE t (n INTEGER UNIQUE)").await
}

async fn numbers(database: &Database) -> Vec<String> {
    let mut admin = Admin::connect(database.url()).await;
    admin
        .values("SELECT n::text AS value FROM t ORDER BY n")
        .await
        .unwrap()
}

async fn prepared(admin: &mut Admin, gid: &str) -> bool {
    let query = format!("SELECT owner::text AS value FROM pg_prepared_xacts WHERE gid = '{gid}'");
    !admin.values(&query).await.unwrap().is_empty()
}

#[tokio::test]
async fn commit_of_an_aborted_transaction_succeeds_and_keeps_nothing() {
    let (database, mut admin) = database().await;
    admin.run("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    admin.run("SELECT 1 / 0").await.unwrap_err();
    admin.run("COMMIT").await.unwrap();
    assert!(numbers(&database).await.is_empty());
}

#[tokio::test]
async fn prepare_of_an_aborted_transaction_succeeds_and_prepares_nothing() {
    let (_database, mut admin) = database().await;
    let gid = unique("aborted");
    admin.run("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    admin.run("SELECT 1 / 0").await.unwrap_err();
    admin
        .run(&format!("PREPARE TRANSACTION '{gid}'"))
        .await
        .unwrap();
    assert!(!prepared(&mut admin, &gid).await);
}

#[tokio::test]
async fn a_message_stops_at_its_first_error() {
    let (database, mut admin) = database().await;
    admin.run("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
    admin.run("SELECT 1 / 0; COMMIT").await.unwrap_err();
    admin.run("ROLLBACK").await.unwrap();
    assert!(numbers(&database).await.is_empty());
}

#[tokio::test]
async fn a_local_setting_is_gone_after_the_transaction() {
    let (_database, mut admin) = database().await;
    let marker = "SELECT coalesce(current_setting('fact.marker', true), '') AS value";
    admin
        .run("BEGIN; SET LOCAL fact.marker = 'here'")
        .await
        .unwrap();
    assert_eq!(admin.values(marker).await.unwrap(), ["here"]);
    admin.run("COMMIT; BEGIN").await.unwrap();
    assert_eq!(admin.values(marker).await.unwrap(), [""]);
}

#[tokio::test]
async fn commit_prepared_must_be_alone_in_its_message() {
    let (database, mut admin) = database().await;
    let gid = unique("alone");
    admin
        .run(&format!(
            "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{gid}'"
        ))
        .await
        .unwrap();
    refused(
        admin
            .run(&format!("SET work_mem = '1MB'; COMMIT PREPARED '{gid}'"))
            .await,
        "cannot run inside a transaction block",
    );
    admin
        .run(&format!("COMMIT PREPARED '{gid}'"))
        .await
        .unwrap();
    assert_eq!(numbers(&database).await, ["1"]);
}

#[tokio::test]
async fn commit_prepared_works_in_the_same_database_only() {
    let (_database, mut admin) = database().await;
    let other = Database::on(Server::PostgresA).await;
    let gid = unique("database");
    admin
        .run(&format!(
            "BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{gid}'"
        ))
        .await
        .unwrap();
    let finish = format!("ROLLBACK PREPARED '{gid}'");
    let mut elsewhere = Admin::connect(other.url()).await;
    refused(elsewhere.run(&finish).await, "belongs to another database");
    admin.run(&finish).await.unwrap();
}

/// A member of the owning role may not finish the transaction until it sets that role.
#[tokio::test]
async fn commit_prepared_needs_the_role_that_prepared() {
    let (_database, mut admin) = database().await;
    let (gid, owner, member) = (unique("role"), unique("owner"), unique("member"));
    admin
        .run(&format!(
            "CREATE ROLE {owner}; CREATE ROLE {member} IN ROLE {owner}; GRANT ALL ON t TO {owner}"
        ))
        .await
        .unwrap();
    admin
        .run(&format!(
            "BEGIN; SET LOCAL ROLE {owner}; INSERT INTO t VALUES (1); PREPARE TRANSACTION '{gid}'"
        ))
        .await
        .unwrap();
    let finish = format!("COMMIT PREPARED '{gid}'");
    admin.run(&format!("SET ROLE {member}")).await.unwrap();
    refused(
        admin.run(&finish).await,
        "permission denied to finish prepared transaction",
    );
    admin.run(&format!("SET ROLE {owner}")).await.unwrap();
    admin.run(&finish).await.unwrap();
    admin
        .run(&format!(
            "RESET ROLE; DROP OWNED BY {owner}; DROP ROLE {owner}, {member}"
        ))
        .await
        .unwrap();
}

#[tokio::test]
async fn commit_prepared_of_an_unknown_gid_is_an_error() {
    let (_database, mut admin) = database().await;
    let unknown = unique("unknown");
    refused(
        admin.run(&format!("COMMIT PREPARED '{unknown}'")).await,
        "does not exist",
    );
}

#[tokio::test]
async fn deferred_constraints_arrive_at_the_prepare() {
    let (_database, mut admin) = database().await;
    let gid = unique("deferred");
    admin
        .run("CREATE TABLE c (n INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)")
        .await
        .unwrap();
    admin.run("BEGIN; INSERT INTO c VALUES (1)").await.unwrap();
    refused(
        admin.run(&format!("PREPARE TRANSACTION '{gid}'")).await,
        "violates foreign key constraint",
    );
    assert!(!prepared(&mut admin, &gid).await);
}

#[tokio::test]
async fn notify_and_temporary_tables_cannot_be_prepared() {
    let (_database, mut admin) = database().await;
    for (statement, words) in [
        ("NOTIFY news", "NOTIFY"),
        (
            "CREATE TEMP TABLE scratch (n INTEGER) ON COMMIT DROP",
            "temporary objects",
        ),
    ] {
        let gid = unique("impossible");
        admin.run(&format!("BEGIN; {statement}")).await.unwrap();
        refused(
            admin.run(&format!("PREPARE TRANSACTION '{gid}'")).await,
            words,
        );
    }
}

#[tokio::test]
async fn nothing_can_be_prepared_by_default() {
    let mut admin = Admin::connect(Server::PostgresPlain.url().as_str()).await;
    let gid = unique("plain");
    refused(
        admin
            .run(&format!("BEGIN; PREPARE TRANSACTION '{gid}'"))
            .await,
        "prepared transactions are disabled",
    );
}

/// Therefore a SELECT is no evidence that nothing was decided, and the insert of a fence is.
#[tokio::test]
async fn a_select_does_not_see_a_decision_in_flight_and_a_fence_waits_for_it() {
    let (database, mut deciding) = database().await;
    deciding
        .run("BEGIN; INSERT INTO t VALUES (7)")
        .await
        .unwrap();

    let mut asking = Admin::connect(database.url()).await;
    let select = "SELECT n::text AS value FROM t WHERE n = 7";
    assert!(asking.values(select).await.unwrap().is_empty());
    let locking = format!("{select} FOR UPDATE");
    assert!(asking.values(&locking).await.unwrap().is_empty());

    let fence = "INSERT INTO t VALUES (7) ON CONFLICT DO NOTHING";
    asking.run("SET lock_timeout = '100ms'").await.unwrap();
    refused(asking.run(fence).await, "lock timeout");
    asking.run("SET lock_timeout = 0").await.unwrap();
    let (fenced, ()) = tokio::join!(timeout(Duration::from_secs(20), asking.run(fence)), async {
        deciding.run("COMMIT").await.unwrap();
    });
    fenced.expect("the fence no longer waits").unwrap();
    assert_eq!(asking.values(select).await.unwrap(), ["7"]);
}

#[tokio::test]
async fn the_fate_of_a_transaction_can_be_asked_by_its_id() {
    let (_database, mut admin) = database().await;
    for (end, fate) in [("ROLLBACK", "aborted"), ("COMMIT", "committed")] {
        admin.run("BEGIN; INSERT INTO t VALUES (1)").await.unwrap();
        let id = admin
            .values("SELECT txid_current_if_assigned()::text AS value")
            .await
            .unwrap();
        let ask = format!("SELECT txid_status({}) AS value", id.join(""));
        assert_eq!(admin.values(&ask).await.unwrap(), ["in progress"]);
        admin.run(end).await.unwrap();
        assert_eq!(admin.values(&ask).await.unwrap(), [fate]);
    }
}

/// Therefore the id of a transaction reveals a function that wrote.
#[tokio::test]
async fn a_transaction_that_only_read_has_no_id() {
    let (_database, mut admin) = database().await;
    let id = "SELECT coalesce(txid_current_if_assigned()::text, '') AS value";
    admin.run("BEGIN; SELECT * FROM t").await.unwrap();
    assert_eq!(admin.values(id).await.unwrap(), [""]);
    admin.run("INSERT INTO t VALUES (1)").await.unwrap();
    assert_ne!(admin.values(id).await.unwrap(), [""]);
}

/// Therefore the begin of a unit uses `SET` and asks nothing.
#[tokio::test]
async fn only_what_takes_no_snapshot_may_stand_before_set_transaction() {
    let database = Database::on(Server::PostgresA).await;
    let mut admin = Admin::connect(database.url()).await;
    for (first, fits) in [
        ("SET LOCAL diesel_binds.unit = 'a'", true),
        ("SAVEPOINT a; RELEASE SAVEPOINT a", true),
        ("SHOW role", true),
        (
            "SELECT pg_catalog.set_config('diesel_binds.unit', 'a', true)",
            false,
        ),
        ("DO 'BEGIN END'", false),
    ] {
        let message =
            format!("BEGIN; {first}; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; COMMIT");
        assert_eq!(admin.run(&message).await.is_ok(), fits, "{first}");
        admin.run("ROLLBACK").await.unwrap();
    }
}
