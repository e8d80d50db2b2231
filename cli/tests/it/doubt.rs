//! The commands `in-doubt` and `recover`, on units that a process left prepared.

#![allow(unreachable_pub, reason = "a bind is public")]

use diesel_binds::{AsyncSqliteConnection, Bind, Binds, Source};
use kit::admin::Admin;

use crate::project::Shop;

#[derive(Bind)]
#[bind(key = "cache", connection = AsyncSqliteConnection)]
pub struct Cache;

/// Leaves a unit like a process that died between two steps of its commit: a branch on `accounts`, held by `cache`.
async fn leave(shop: &Shop, namespace: &str, decided: bool) -> String {
    let binds = Binds::builder()
        .bind(Cache, Source::url(shop.cache.url()))
        .build()
        .unwrap();
    binds.install().await.unwrap();
    let unit = binds.session().unit();
    let mut cache = Admin::connect(shop.cache.url()).await;
    let id = cache
        .values("SELECT holder_id AS value FROM diesel_binds_meta")
        .await
        .unwrap();
    if decided {
        let row = format!(
            "INSERT INTO diesel_binds_decision (unit, outcome, participants) VALUES ('{unit}', 'commit', 'accounts')"
        );
        cache.run(&row).await.unwrap();
    }
    let gid = format!("db1:{namespace}:{unit}:cache:{}", id[0]);
    let mut accounts = Admin::connect(shop.accounts.url()).await;
    // In a message of its own, because a statement before BEGIN in a message becomes part of the transaction.
    accounts
        .run("CREATE TABLE IF NOT EXISTS notes (text text)")
        .await
        .unwrap();
    let branch = format!(
        "BEGIN; INSERT INTO notes VALUES ('{unit}'); PREPARE TRANSACTION '{gid}:accounts:1'"
    );
    accounts.run(&branch).await.unwrap();
    gid
}

async fn notes(shop: &Shop) -> usize {
    let mut accounts = Admin::connect(shop.accounts.url()).await;
    accounts
        .values("SELECT text AS value FROM notes")
        .await
        .unwrap()
        .len()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_unit_is_resolved_as_its_holder_has_it() {
    for (namespace, decided, rows) in [("cli-commit", true, 1), ("cli-abort", false, 0)] {
        let shop = Shop::open(namespace).await;
        shop.project
            .run(&["in-doubt", "list"])
            .ends(0)
            .says("nothing is in doubt");
        let gid = leave(&shop, namespace, decided).await;
        shop.project.run(&["in-doubt", "list"]).ends(1).says(&gid);
        // By the name of the branch, as a user copies it.
        let said = shop
            .project
            .run(&["in-doubt", "resolve", &format!("{gid}:accounts:1")])
            .ends(0);
        said.says(if decided { "committed" } else { "rolled back" });
        assert_eq!(notes(&shop).await, rows);
        shop.project.run(&["in-doubt", "list"]).ends(0);
        // A second call reports the same outcome.
        shop.project.run(&["in-doubt", "resolve", &gid]).ends(0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_says_whether_something_is_left() {
    let mut shop = Shop::open("cli-recover").await;
    let gid = leave(&shop, "cli-recover", true).await;
    let cache = shop.cache.url().to_owned();
    // Without the holder, nothing is decided.
    shop.project.set("CACHE_DATABASE_URL", "oracle://nowhere");
    shop.project
        .run(&["recover"])
        .ends(1)
        .says(&gid)
        .says("not asked");
    shop.project.run(&["in-doubt", "resolve", &gid]).ends(1);
    assert_eq!(notes(&shop).await, 0);
    shop.project.set("CACHE_DATABASE_URL", cache);
    // A unit that has just been prepared is left to its process.
    let mut said = shop.project.run(&["recover"]);
    while said.code == 1 {
        said.says(&gid);
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        said = shop.project.run(&["recover"]);
    }
    said.ends(0);
    assert_eq!(notes(&shop).await, 1);
    let json = shop
        .project
        .run(&["recover", "--format", "json"])
        .ends(0)
        .out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["in_doubt"].as_array().map(Vec::len), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down_is_something_left() {
    let mut shop = Shop::open("cli-down").await;
    let gid = leave(&shop, "cli-down", true).await;
    shop.project
        .set("LEDGER_DATABASE_URL", "mysql://app:unseen@127.0.0.1:1/app");
    let said = shop.project.run(&["in-doubt", "resolve", &gid]).ends(1);
    said.says("ledger: not reached");
    assert_eq!(
        notes(&shop).await,
        1,
        "the branch that could be finished is"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_is_forced_only_when_its_holder_is_lost_and_with_a_reason() {
    let mut shop = Shop::open("cli-force").await;
    let gid = leave(&shop, "cli-force", false).await;
    let mut accounts = Admin::connect(shop.accounts.url()).await;
    let tables = include_str!("../../../migrations/postgres/2026-01-01-000000_diesel_binds/up.sql");
    accounts.run(tables).await.unwrap();
    let resolve = ["in-doubt", "resolve", gid.as_str()];
    let force = [&resolve[..], &["--force", "commit"]].concat();
    let with_reason = [&force[..], &["--reason", "the disk burnt"]].concat();
    shop.project.run(&force).ends(2).says("--reason");
    shop.project
        .run(&[&resolve[..], &["--reason", "none"]].concat())
        .ends(2)
        .says("--force");
    shop.project.run(&with_reason).ends(1).says("answers");
    let ledger = shop.ledger.app_url();
    shop.project.set("CACHE_DATABASE_URL", "/nowhere/at/all.db");
    shop.project.set("LEDGER_DATABASE_URL", "oracle://nowhere");
    shop.project
        .run(&with_reason)
        .ends(2)
        .says("nothing is forced");
    shop.project.set("LEDGER_DATABASE_URL", ledger);
    shop.project.run(&["in-doubt", "resolve", &gid]).ends(1);
    assert_eq!(notes(&shop).await, 0);
    shop.project.run(&with_reason).ends(0).says("committed");
    assert_eq!(notes(&shop).await, 1);
    let recorded = accounts
        .values("SELECT reason AS value FROM diesel_binds_forced")
        .await
        .unwrap();
    assert_eq!(recorded, ["the disk burnt"]);
}

/// A file that was copied has the id of its original.
#[tokio::test(flavor = "multi_thread")]
async fn a_copied_file_is_said_to_be_one() {
    let mut shop = Shop::open("cli-copied").await;
    let binds = Binds::builder()
        .bind(Cache, Source::url(shop.cache.url()))
        .build()
        .unwrap();
    binds.install().await.unwrap();
    binds.close().await;
    let copy = format!("{}.copy", shop.cache.url());
    std::fs::copy(shop.cache.url(), &copy).unwrap();
    shop.project.set("CACHE_DATABASE_URL", &copy);
    shop.project
        .run(&["doctor"])
        .ends(0)
        .says("diesel-binds identity BIND --new");
    shop.project.run(&["identity", "cache"]).ends(2);
    shop.project.run(&["identity", "nobody", "--new"]).ends(2);
    shop.project
        .run(&["identity", "cache", "--new"])
        .ends(0)
        .says("an id of its own");
    let said = shop.project.run(&["doctor"]).ends(0);
    assert!(!said.out.contains("identity BIND"), "{}", said.out);
    shop.project
        .run(&["identity", "cache", "--keep"])
        .ends(0)
        .says("keeps its id");
}
