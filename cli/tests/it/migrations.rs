//! The commands `setup`, `migration` and `print-schema`: three backends side by side, by `diesel-binds` and by plain
//! `diesel`.

use std::fs;
use std::path::Path;

use kit::admin::Admin;
use kit::servers::workspace;

use crate::project::{Project, Shop};

const BINDS: [&str; 3] = ["accounts", "ledger", "cache"];

/// Returns the names of the generated migrations of a bind.
fn generated(project: &Project, bind: &str) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(project.path(&format!("migrations/{bind}")))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with("_create_notes") || name.ends_with("_create_more"))
        .collect();
    names.sort();
    names
}

fn fill(project: &Project, bind: &str, name: &str, table: &str) {
    let up = format!("CREATE TABLE {table} (id INTEGER NOT NULL PRIMARY KEY);");
    project.migration(bind, name, &up, &format!("DROP TABLE {table};"));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_does_all_binds_or_one() {
    let shop = Shop::laid_out().await;
    let project = &shop.project;
    let migration = |words: &[&str]| project.run(&[&["migration"], words].concat());

    migration(&["generate", "--all", "create_notes"]).ends(0);
    let versions: Vec<_> = BINDS
        .iter()
        .map(|bind| {
            generated(project, bind)[0]
                .split('_')
                .next()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert!(
        versions[0] != versions[1] && versions[1] != versions[2],
        "{versions:?}"
    );
    for bind in BINDS {
        fill(
            project,
            bind,
            &generated(project, bind)[0],
            &format!("{bind}_notes"),
        );
    }

    project.run(&["setup", "--all"]).ends(0);
    for bind in BINDS {
        let schema = project.read(&format!("src/schema/{bind}.rs"));
        assert!(schema.contains(&format!("{bind}_notes (id)")), "{schema}");
        assert!(!schema.contains("diesel_binds_"), "{schema}");
        for other in BINDS.iter().filter(|other| **other != bind) {
            assert!(!schema.contains(&format!("{other}_notes")), "{schema}");
        }
    }
    let mut cache = Admin::connect(shop.cache.url()).await;
    let place = "SELECT place AS value FROM diesel_binds_meta WHERE place IS NOT NULL";
    assert_eq!(cache.values(place).await.unwrap().len(), 1);
    let status = migration(&["status"]).ends(0).says("none");
    assert_eq!(status.out.matches("none").count(), 3, "{status:?}");
    migration(&["pending", "--all"]).ends(0).says("false");
    let list = migration(&["list", "--all"]).ends(0);
    assert_eq!(list.out.matches("[X]").count(), 3 * 2 + 1, "{list:?}"); // one of them is `diesel setup`'s
    assert_eq!(list.out.matches("[ ]").count(), 0, "{list:?}");

    // One bind alone.
    migration(&["generate", "--bind", "ledger", "create_more"]).ends(0);
    fill(
        project,
        "ledger",
        &generated(project, "ledger")[0],
        "ledger_more",
    );
    let names = generated(project, "ledger");
    let more = names.iter().find(|name| name.ends_with("more")).unwrap();
    fill(project, "ledger", more, "ledger_more");
    fill(
        project,
        "ledger",
        names.iter().find(|name| name.ends_with("notes")).unwrap(),
        "ledger_notes",
    );
    migration(&["pending", "--all"]).ends(1);
    migration(&["pending", "--bind", "accounts", "--bind", "cache"]).ends(0);
    migration(&["status"])
        .ends(1)
        .says("ledger: pending:")
        .says(more);
    migration(&["list", "--bind", "ledger"])
        .ends(0)
        .says("[ ]")
        .says_nothing_of("accounts");
    migration(&["run", "--bind", "ledger"]).ends(0).says(more);
    migration(&["redo", "--bind", "ledger"])
        .ends(0)
        .says("Rolling back")
        .says(more);
    project
        .run(&["print-schema", "--bind", "ledger"])
        .ends(0)
        .says("ledger_more (id)")
        .says_nothing_of("// ledger");
    // More arguments for `diesel`.
    migration(&["revert", "--bind", "ledger", "--", "--number", "2"]).ends(0);
    migration(&["run", "--bind", "ledger", "--", "--locked-schema"]).ends(1);
    migration(&["run", "--bind", "ledger"]).ends(0);

    migration(&["revert", "--all"]).ends(0);
    migration(&["status"]).ends(1);
    migration(&["run", "--all"]).ends(0);
    project
        .run(&["print-schema", "--all"])
        .ends(0)
        .says("// accounts\n")
        .says("cache_notes (id)");
    let json = project
        .run(&["--format", "json", "migration", "status"])
        .ends(0)
        .out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["binds"][1]["bind"], "ledger");
    assert_eq!(
        json["binds"][1]["applied"].as_array().map(Vec::len),
        Some(3)
    );
    assert_eq!(json["binds"][1]["schema_file"], "same");
}

/// The folders are those of a plain Diesel project: each program continues from the work of the other.
#[tokio::test(flavor = "multi_thread")]
async fn plain_diesel_works_on_the_same_folders_both_ways() {
    let mut shop = Shop::laid_out().await;
    let urls = [
        ("accounts", shop.accounts.url().to_owned()),
        ("ledger", shop.ledger.app_url()),
        ("cache", shop.cache.url().to_owned()),
    ];
    for (bind, _) in &urls {
        fill(
            &shop.project,
            bind,
            "2026-11-21-090000_create_notes",
            &format!("{bind}_notes"),
        );
    }
    for (bind, url) in urls {
        let folder = format!("migrations/{bind}");
        let schema = format!("src/schema/{bind}.rs");
        shop.project.set("DATABASE_URL", &url);
        // In the folder of the bind, without flags.
        shop.project.plain(&folder, &["migration", "run"]).ends(0);
        assert!(shop.project.read(&schema).contains("_notes (id)"));
        shop.project
            .run(&["migration", "pending", "--bind", bind])
            .ends(0);
        shop.project
            .run(&["migration", "revert", "--bind", bind])
            .ends(0);
        assert!(!shop.project.read(&schema).contains("_notes (id)"));
        shop.project
            .plain(&folder, &["migration", "pending"])
            .ends(0)
            .says("true");
        // From the top folder.
        shop.project.set("DATABASE_URL", "nothing of use");
        let config = format!("{folder}/diesel.toml");
        let from_top = ["--config-file", &config, "--database-url", &url];
        let top = |words: &[&str]| shop.project.plain("", &[words, &from_top].concat());
        top(&["migration", "run"]).ends(0);
        assert!(shop.project.read(&schema).contains("_notes (id)"));
        top(&["migration", "redo"]).ends(0);
        top(&["print-schema"]).ends(0).says("_notes (id)");
        shop.project
            .run(&["migration", "pending", "--bind", bind])
            .ends(0);
    }
    // The file of the top folder is for the first bind.
    shop.project.set("DATABASE_URL", shop.accounts.url());
    shop.project
        .plain("", &["migration", "list"])
        .ends(0)
        .says("[X] 2026-11-21-090000_create_notes");
    shop.project.run(&["migration", "status"]).ends(0);
}

/// The folders of this repository have the same layout.
#[tokio::test(flavor = "multi_thread")]
async fn plain_diesel_makes_the_tables_of_the_protocol() {
    let mut shop = Shop::laid_out().await;
    let urls = [
        ("postgres", shop.accounts.url().to_owned()),
        ("mysql", shop.ledger.app_url()),
        ("sqlite", shop.cache.url().to_owned()),
    ];
    for (backend, url) in urls {
        shop.project.set("DATABASE_URL", &url);
        let folder = workspace().join("migrations").join(backend);
        for command in ["run", "redo", "revert"] {
            shop.project
                .plain(folder.to_str().unwrap(), &["migration", command])
                .ends(0)
                .says("_diesel_binds");
        }
    }
}

const FILES: &str = "namespace = \"shop\"\n\
    [bind.ledger]\nbackend = \"sqlite\"\nneeds = { accounts = \"2026-11-21-090000\" }\n\
    [bind.accounts]\nbackend = \"sqlite\"\n";

/// The manifest lists `ledger` first, which needs `accounts`.
#[test]
fn a_bind_waits_for_what_it_needs() {
    let mut project = Project::new(FILES).with_diesel();
    for bind in ["accounts", "ledger"] {
        project.run(&["add", bind]).ends(0);
        project.set(
            &format!("{}_DATABASE_URL", bind.to_uppercase()),
            format!("{bind}.db"),
        );
    }
    fill(&project, "accounts", "2026-11-21-090000_create_notes", "a");
    fill(&project, "ledger", "2026-11-21-090001_create_notes", "l");
    project
        .run(&["setup", "--bind", "ledger"])
        .ends(1)
        .says("needs the migration 20261121090000 of `accounts`");
    assert!(!Path::new(&project.path("ledger.db")).exists());
    project.run(&["setup", "--all"]).ends(0);
    project.run(&["migration", "status"]).ends(0);
    // The reverse order for a revert.
    project.run(&["migration", "revert", "--all"]).ends(0);
    project
        .run(&["migration", "run", "--bind", "ledger"])
        .ends(1)
        .says("`accounts`");
}

/// Diesel reverts the last migration of the database, whatever bind it belongs to.
#[test]
fn a_bind_does_not_revert_what_is_of_another_in_its_database() {
    let mut project = Project::new(
        "namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n[bind.b]\nbackend = \"sqlite\"\nshared_with = \"a\"\n",
    )
    .with_diesel();
    project.set("A_DATABASE_URL", "a.db");
    project.run(&["add", "a"]).ends(0);
    project.run(&["add", "b"]).ends(0);
    fill(&project, "a", "2026-11-21-090000_a", "a");
    fill(&project, "b", "2026-11-21-090001_b", "b");
    project.run(&["setup", "--all"]).ends(0);
    project
        .run(&["migration", "revert", "--bind", "a"])
        .ends(1)
        .says("is of `b`: revert that first");
    project.run(&["migration", "revert", "--all"]).ends(0);
    project.run(&["migration", "pending", "--all"]).ends(1);
}

#[test]
fn mistakes_in_the_files_of_a_bind_are_refused_before_anything_is_done() {
    let project =
        Project::new("namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n").with_diesel();
    project.run(&["migration", "run"]).ends(2).says("--bind");
    project
        .run(&["migration", "run", "--bind", "b"])
        .ends(2)
        .says("no bind `b`");
    project.run(&["add", "a"]).ends(0);
    for flag in ["--database-url=x", "--config-file", "--migration-dir"] {
        project
            .run(&["migration", "run", "--all", "--", flag])
            .ends(2)
            .says("call `diesel`");
    }
    project
        .run(&["migration", "run", "--all"])
        .ends(2)
        .says("A_DATABASE_URL");
}

/// `diesel` and the check of the databases before it both ask for TLS. The server has none.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_tls_is_not_read_in_the_clear_if_its_url_requires_tls() {
    let mut shop = Shop::laid_out().await;
    let url = format!("{}?sslmode=require", shop.accounts.url());
    shop.project.set("ACCOUNTS_DATABASE_URL", url);
    shop.project
        .run(&["migration", "run", "--bind", "accounts"])
        .ends(2)
        .says("the server offers no TLS, and `sslmode` does not allow a connection without");
    shop.project
        .run(&["migration", "status"])
        .ends(1)
        .says("the server offers no TLS, and `sslmode` does not allow a connection without");
}

#[test]
fn there_is_a_progress_bar_where_there_is_a_terminal() {
    let mut project = Project::empty().with_diesel();
    project.run(&["init", "a=sqlite", "b=sqlite"]).ends(0);
    project.set("A_DATABASE_URL", "a.db");
    project.set("B_DATABASE_URL", "b.db");
    // The terminal can move its cursor, whatever the tests run in.
    project.set("TERM", "xterm");
    project
        .run(&["setup", "--all"])
        .ends(0)
        .says_nothing_of("/2 ");
    let command = format!(
        "{} migration redo --all",
        env!("CARGO_BIN_EXE_diesel-binds")
    );
    project
        .start(Path::new("script"), "", &["-qec", &command, "/dev/null"])
        .ends(0)
        .says("0/2 a")
        .says("1/2 b");
}
