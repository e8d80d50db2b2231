//! The command `doctor`.

use kit::admin::Admin;

use crate::project::{Project, Shop};

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_are_ready_are_said_to_be() {
    let shop = Shop::open("cli-doctor").await;
    // Missing tables of the protocol are a warning.
    let said = shop.project.run(&["doctor"]).ends(0);
    said.says("accounts (PostgreSQL")
        .says("ledger (MySQL/MariaDB")
        .says("cache (SQLite")
        .says("warning");
    shop.project.run(&["doctor", "--strict"]).ends(1);
    for (url, tables) in [
        (
            shop.accounts.url(),
            include_str!("../../../migrations/postgres/2026-01-01-000000_diesel_binds/up.sql"),
        ),
        (
            shop.ledger.url(),
            include_str!("../../../migrations/mysql/2026-01-01-000000_diesel_binds/up.sql"),
        ),
        (
            shop.cache.url(),
            include_str!("../../../migrations/sqlite/2026-01-01-000000_diesel_binds/up.sql"),
        ),
    ] {
        Admin::connect(url).await.run(tables).await.unwrap();
    }
    shop.project
        .run(&["doctor", "--strict"])
        .ends(0)
        .says("it holds the decision");
    let json = shop
        .project
        .run(&["--format", "json", "doctor"])
        .ends(0)
        .out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["binds"][0]["bind"], "accounts");
    assert_eq!(json["problems"].as_array().map(Vec::len), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bind_that_cannot_be_asked_hides_no_other() {
    let mut shop = Shop::open("cli-doctor-down").await;
    shop.project
        .set("LEDGER_DATABASE_URL", "mysql://app:unseen@127.0.0.1:1/app");
    let said = shop.project.run(&["doctor"]).ends(1);
    said.says("error: it cannot be reached")
        .says("accounts (PostgreSQL 1")
        .says("cache (SQLite 3");
    // The value is not even a URL.
    shop.project
        .set("LEDGER_DATABASE_URL", "oracle://app:unseen@127.0.0.1:1/app");
    let said = shop.project.run(&["doctor"]).ends(1);
    said.says("the URL of `ledger`")
        .says("accounts (PostgreSQL 1")
        .says("cache (SQLite 3");
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let project = Project::new("namespace = \"shop\"\n[bind.a-b]\nbackend = \"sqlite\"\n");
    project.run(&["doctor"]).ends(1).says("A_B_DATABASE_URL");
    project.run(&["recover"]).ends(2).says("A_B_DATABASE_URL");
}

/// A relative path is relative to the project, not to the current folder.
#[tokio::test(flavor = "multi_thread")]
async fn the_environment_file_is_read_from_every_folder_of_the_project() {
    let project = Project::new("namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n");
    project.write(".env", "A_DATABASE_URL=a.db\n");
    project.write("src/deep/lib.rs", "");
    project
        .run_in("src/deep", &["doctor"])
        .ends(0)
        .says("a (SQLite");
    assert!(project.path("a.db").exists() && !project.path("src/deep/a.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn binds_without_a_connection_of_their_own_are_named() {
    let mut project = Project::new(
        "namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n\
         [bind.b]\nbackend = \"sqlite\"\nattach_to = \"a\"\n\
         [bind.c]\nbackend = \"sqlite\"\nshared_with = \"a\"\n",
    );
    project.set("A_DATABASE_URL", "a.db");
    project.set("B_DATABASE_URL", "b.db");
    project
        .run(&["doctor"])
        .ends(0)
        .says("ok: the file of `b` is attached to its connection")
        .says("ok: `c` is in the same database");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_report_says_how_missing_tables_are_made() {
    let shop = Shop::open("cli-doctor-bare").await;
    let said = shop.project.run(&["doctor"]).ends(0);
    said.says("ledger: `diesel-binds add ledger` writes the migration of the tables");
    shop.project.run(&["add", "ledger"]).ends(0);
    let said = shop.project.run(&["doctor"]).ends(0);
    said.says("ledger: `diesel-binds setup --bind ledger` makes the tables that are missing");
}
