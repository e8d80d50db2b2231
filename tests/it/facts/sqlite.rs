//! Facts about SQLite.

use kit::admin::Admin;
use kit::database::Database;

use crate::facts::refused;

async fn file() -> (Database, Admin) {
    let database = Database::sqlite();
    let mut admin = Admin::connect(database.url()).await;
    admin
        .run("CREATE TABLE t (n INTEGER PRIMARY KEY); PRAGMA foreign_keys = ON")
        .await
        .unwrap();
    (database, admin)
}

async fn numbers(admin: &mut Admin) -> Vec<String> {
    admin
        .values("SELECT CAST(n AS TEXT) AS value FROM t ORDER BY n")
        .await
        .unwrap()
}

#[tokio::test]
async fn a_failing_commit_leaves_the_transaction_open() {
    let (_database, mut admin) = file().await;
    admin
        .run("CREATE TABLE c (n INTEGER REFERENCES t (n) DEFERRABLE INITIALLY DEFERRED)")
        .await
        .unwrap();
    admin.run("BEGIN; INSERT INTO c VALUES (1)").await.unwrap();
    refused(admin.run("COMMIT").await, "FOREIGN KEY constraint failed");
    refused(admin.run("BEGIN").await, "within a transaction");
    admin.run("INSERT INTO t VALUES (1); COMMIT").await.unwrap();
    assert_eq!(numbers(&mut admin).await, ["1"]);
}

/// The busy timeout has no effect: the lock of another reader is no reason to wait, because it may never be released.
#[tokio::test]
async fn a_deferred_transaction_fails_its_upgrade_at_once() {
    let (database, mut one) = file().await;
    let mut two = Admin::connect(database.url()).await;
    one.run("PRAGMA journal_mode = WAL").await.unwrap();
    two.run("PRAGMA busy_timeout = 60000; BEGIN DEFERRED")
        .await
        .unwrap();
    assert!(numbers(&mut two).await.is_empty());
    one.run("INSERT INTO t VALUES (1)").await.unwrap();
    refused(two.run("INSERT INTO t VALUES (2)").await, "locked");
}

/// A loss of power may bring a journal back whose deletion the folder had not stored yet. In the journal mode `delete`, only
/// `synchronous = EXTRA` stores the folder.
#[tokio::test]
async fn a_journal_that_comes_back_undoes_a_commit() {
    let (database, mut admin) = file().await;
    let journal = format!("{}-journal", database.url());
    let kept = format!("{journal}-kept");
    // The pages of a transaction are written to the file, and the journal before them, when the cache is full.
    admin
        .run("PRAGMA cache_size = 1; BEGIN; WITH RECURSIVE r (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9999) \
              INSERT INTO t SELECT n FROM r")
        .await
        .unwrap();
    std::fs::copy(&journal, &kept).unwrap();
    admin.run("COMMIT").await.unwrap();
    assert!(!std::fs::exists(&journal).unwrap());
    drop(admin);
    std::fs::rename(&kept, &journal).unwrap();
    let mut admin = Admin::connect(database.url()).await;
    assert!(numbers(&mut admin).await.is_empty());
}

/// SQLite reports no error, and keeps the earlier setting.
#[tokio::test]
async fn foreign_keys_cannot_be_turned_within_a_transaction() {
    let (_database, mut admin) = file().await;
    let setting = "SELECT CAST(foreign_keys AS TEXT) AS value FROM pragma_foreign_keys";
    admin.run("BEGIN; PRAGMA foreign_keys = OFF").await.unwrap();
    assert_eq!(admin.values(setting).await.unwrap(), ["1"]);
    admin.run("COMMIT").await.unwrap();
    assert_eq!(admin.values(setting).await.unwrap(), ["1"]);
    admin.run("PRAGMA foreign_keys = OFF").await.unwrap();
    assert_eq!(admin.values(setting).await.unwrap(), ["0"]);
}

#[tokio::test]
async fn a_temporary_table_shadows_that_of_the_file() {
    let (_database, mut admin) = file().await;
    admin
        .run("INSERT INTO t VALUES (1); CREATE TEMP TABLE t (n INTEGER)")
        .await
        .unwrap();
    assert!(numbers(&mut admin).await.is_empty());
    let named = "SELECT CAST(n AS TEXT) AS value FROM main.t";
    assert_eq!(admin.values(named).await.unwrap(), ["1"]);
}

#[tokio::test]
async fn an_unqualified_name_is_found_in_attached_files() {
    let (_database, mut admin) = file().await;
    let (other, mut there) = file().await;
    there
        .run("CREATE TABLE elsewhere (n INTEGER); INSERT INTO elsewhere VALUES (1)")
        .await
        .unwrap();
    admin
        .run(&format!("ATTACH DATABASE '{}' AS other", other.url()))
        .await
        .unwrap();
    let found = admin
        .values("SELECT CAST(n AS TEXT) AS value FROM elsewhere")
        .await;
    assert_eq!(found.unwrap(), ["1"]);
}

#[tokio::test]
async fn total_changes_counts_what_a_transaction_wrote_and_not_what_it_read() {
    let (_database, mut admin) = file().await;
    let count = "SELECT CAST(total_changes() AS TEXT) AS value";
    admin.run("BEGIN").await.unwrap();
    let before = admin.values(count).await.unwrap();
    let _ = numbers(&mut admin).await;
    assert_eq!(admin.values(count).await.unwrap(), before);
    admin.run("INSERT INTO t VALUES (1)").await.unwrap();
    assert_ne!(admin.values(count).await.unwrap(), before);
}

#[tokio::test]
async fn synchronous_cannot_be_changed_inside_a_transaction() {
    let (_database, mut admin) = file().await;
    admin.run("BEGIN").await.unwrap();
    refused(admin.run("PRAGMA synchronous = OFF").await, "Safety level");
}

/// With the locks of SQLite, the second writer is refused.
#[tokio::test]
async fn some_parameters_of_a_url_let_two_connections_write_at_once() {
    let begin = "PRAGMA busy_timeout = 0; BEGIN IMMEDIATE";
    for (parameter, excludes) in [
        ("mode=rw", true),
        ("nolock=0", true),
        ("nolock=1", false),
        ("nolock=full", true),
        ("vfs=unix-none", false),
        ("vfs=unix-dotfile", false),
    ] {
        let (database, mut one) = file().await;
        one.run(begin).await.unwrap();
        let url = format!("file:{}?{parameter}", database.url());
        let mut two = Admin::connect(&url).await;
        let begun = two.run(begin).await;
        assert_eq!(begun.is_err(), excludes, "{parameter}: {begun:?}");
    }
}

/// The reader uses pages that it read before, and does not look for newer ones.
#[tokio::test]
async fn an_immutable_file_is_read_without_the_changes_of_others() {
    let (database, mut one) = file().await;
    let url = format!("file:{}?immutable=1", database.url());
    let mut two = Admin::connect(&url).await;
    assert!(numbers(&mut two).await.is_empty());
    one.run("INSERT INTO t VALUES (1)").await.unwrap();
    assert!(numbers(&mut two).await.is_empty());
    assert_eq!(numbers(&mut Admin::connect(&url).await).await, ["1"]);
}

/// The busy timeout does not apply to locks of tables within a shared cache.
#[tokio::test]
async fn connections_with_a_shared_cache_do_not_wait_for_each_other() {
    let (database, _) = file().await;
    let url = format!("file:{}?cache=shared", database.url());
    let (mut one, mut two) = (Admin::connect(&url).await, Admin::connect(&url).await);
    one.run("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
        .await
        .unwrap();
    two.run("PRAGMA busy_timeout = 60000").await.unwrap();
    let read = "SELECT CAST(n AS TEXT) AS value FROM t";
    refused(two.values(read).await.map(drop), "table is locked");
}
