//! Accidents of plain Diesel with several databases: each happens with plain `diesel` ("before"), and not with
//! `diesel-binds` ("after").

use kit::admin::Admin;

use crate::project::{ProgramOutput, Project, Shop};

/// Creates a project with binds in SQLite files, each with one table of its name.
pub(crate) fn files(binds: &[&str]) -> Project {
    let mut project = Project::empty().with_diesel();
    let written: Vec<_> = binds.iter().map(|bind| format!("{bind}=sqlite")).collect();
    let mut init = vec!["init"];
    init.extend(written.iter().map(String::as_str));
    project.run(&init).ends(0);
    for (i, bind) in binds.iter().enumerate() {
        let name = format!("2026-11-21-09000{i}_create_{bind}");
        let up = format!("CREATE TABLE {bind} (id INTEGER NOT NULL PRIMARY KEY);");
        project.migration(bind, &name, &up, &format!("DROP TABLE {bind};"));
        project.set(
            &format!("{}_DATABASE_URL", bind.to_uppercase()),
            format!("{bind}.db"),
        );
    }
    project
}

/// Runs plain `diesel migration …` with the files of one bind and any database.
pub(crate) fn plain(project: &Project, command: &str, bind: &str, database: &str) -> ProgramOutput {
    let config = format!("migrations/{bind}/diesel.toml");
    let arguments = [
        "migration",
        command,
        "--config-file",
        &config,
        "--database-url",
        database,
    ];
    project.plain("", &arguments)
}

/// After a slip in a command line or a variable, the tables of one bind are in the database of another.
#[test]
fn migrations_of_one_bind_applied_to_the_database_of_another() {
    let mut project = files(&["a", "b"]);
    plain(&project, "run", "a", "a.db").ends(0);
    // Before: no error.
    plain(&project, "run", "b", "a.db").ends(0).says("create_b");
    // The status reports it, whichever bind uses the database.
    for bind in ["a", "b"] {
        project.set(&format!("{}_DATABASE_URL", bind.to_uppercase()), "a.db");
        let said = project.run(&["migration", "status"]).ends(1);
        if bind == "a" {
            said.says("has migrations of `b`");
        }
    }
    // After: a variable leads to a database with the tables of another bind.
    let mut project = files(&["a", "b"]);
    project.run(&["setup", "--all"]).ends(0);
    std::fs::copy(project.path("a.db"), project.path("copy-of-a.db")).unwrap();
    project.set("B_DATABASE_URL", "copy-of-a.db");
    for command in ["run", "revert", "redo"] {
        project
            .run(&["migration", command, "--bind", "b"])
            .ends(2)
            .says("nothing was done")
            .says("`B_DATABASE_URL` leads to has migrations of `a`");
    }
    for command in ["list", "pending"] {
        let said = project.run(&["migration", command, "--all"]).ends(1);
        said.says("has migrations of `a`");
    }
    // After: a variable leads to the actual database of another bind.
    project.set("B_DATABASE_URL", "./a.db");
    project
        .run(&["migration", "run", "--bind", "b"])
        .ends(2)
        .says("`a` and `b` lead to the same database");
    plain(&project, "list", "a", "a.db")
        .ends(0)
        .says_nothing_of("[ ]");
    let tables = project.run(&["print-schema", "--bind", "a"]);
    tables.ends(1).says("same database");
    project.set("B_DATABASE_URL", "b.db");
    project.run(&["migration", "status"]).ends(0);
}

/// On a server, one database has many URLs.
#[tokio::test(flavor = "multi_thread")]
async fn one_database_by_two_urls() {
    let mut project = Project::empty().with_diesel();
    let databases = Shop::laid_out().await;
    project
        .run(&["init", "a=postgres", "b=postgres", "c=mysql", "d=mysql"])
        .ends(0);
    let one = databases.accounts.url().to_owned();
    project.set("A_DATABASE_URL", &one);
    project.set(
        "B_DATABASE_URL",
        one.replacen("postgres@", "postgres:pg-secret@", 1),
    );
    project.set("C_DATABASE_URL", databases.ledger.url());
    project.set("D_DATABASE_URL", databases.ledger.app_url());
    project
        .run(&["setup", "--all"])
        .ends(2)
        .says("`a` and `b` lead to the same database")
        .says("`c` and `d` lead to the same database");
}

/// The databases are empty, so there is nothing to compare.
#[test]
fn one_variable_copied_to_another() {
    let mut project = files(&["a", "b"]);
    project.set("B_DATABASE_URL", "a.db");
    project
        .run(&["setup", "--all"])
        .ends(2)
        .says("`a` and `b` lead to the same database");
    assert!(!project.path("a.db").exists());
}

/// The second `diesel.toml` was copied from the first.
#[test]
fn the_schema_file_of_one_bind_overwritten_by_another() {
    let project = files(&["a", "b"]);
    project.run(&["setup", "--all"]).ends(0);
    let own = project.read("migrations/b/diesel.toml");
    let copied = own.replace("schema/b.rs", "schema/a.rs");
    project.write("migrations/b/diesel.toml", &copied);
    // After: also when the other bind is selected.
    for bind in ["a", "b"] {
        project
            .run(&["migration", "run", "--bind", bind])
            .ends(2)
            .says("would overwrite src/schema/a.rs, the schema file of `a`");
        assert!(project.read("src/schema/a.rs").contains("a (id)"));
    }
    // A second schema file of the same database, which belongs to another bind.
    let more = own.replace(
        "[migrations_directory]",
        "[print_schema.more]\nfile = \"../../src/schema/a.rs\"\n\n[migrations_directory]",
    );
    project.write("migrations/b/diesel.toml", &more);
    project
        .run(&["migration", "status"])
        .ends(1)
        .says("would overwrite");
    // The file of the top folder mixes two binds.
    project.write("migrations/b/diesel.toml", &own);
    let top = project.read("diesel.toml");
    project.write("diesel.toml", &top.replace("migrations/a", "migrations/b"));
    project
        .run(&["migration", "run", "--all"])
        .ends(2)
        .says("diesel.toml has the migrations of `b`, and the schema file of `a`");
    project.write("diesel.toml", &top);
    // Before: the schema file is overwritten.
    project.write("migrations/b/diesel.toml", &copied);
    plain(&project, "run", "b", "b.db").ends(0);
    assert!(!project.read("src/schema/a.rs").contains("a (id)"));
}

/// Two binds in one database have generated a migration in the same second. Diesel records the version only. It takes
/// the second migration for applied, reports that none is pending, and never creates the table.
#[test]
fn one_version_in_two_binds_that_are_in_one_database() {
    let mut project = Project::new(
        "namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n[bind.b]\nbackend = \"sqlite\"\nshared_with = \"a\"\n",
    )
    .with_diesel();
    project.set("A_DATABASE_URL", "a.db");
    for bind in ["a", "b"] {
        project.run(&["add", bind]).ends(0);
        let name = format!("2026-11-21-090000-0000_create_{bind}");
        let up = format!("CREATE TABLE {bind} (id INTEGER NOT NULL PRIMARY KEY);");
        project.migration(bind, &name, &up, &format!("DROP TABLE {bind};"));
    }
    // After, on a fresh database: refused before either is applied.
    project
        .run(&["setup", "--all"])
        .ends(2)
        .says("2026-11-21-090000-0000_create_a")
        .says("2026-11-21-090000-0000_create_b")
        .says("have the same version");
    assert!(!project.path("a.db").exists());
    // Before.
    plain(&project, "run", "a", "a.db").ends(0).says("create_a");
    plain(&project, "run", "b", "a.db")
        .ends(0)
        .says_nothing_of("create_b");
    plain(&project, "pending", "b", "a.db")
        .ends(0)
        .says("false");
    assert!(!project.read("src/schema/b.rs").contains("b (id)"));
    // After, on that database: `pending` names the collision, and does not report that nothing is pending.
    for bind in ["a", "b"] {
        project
            .run(&["migration", "pending", "--bind", bind])
            .ends(1)
            .says("have the same version")
            .says_nothing_of("false");
    }
    project.run(&["migration", "list", "--all"]).ends(1);
    project
        .run(&["migration", "status"])
        .ends(1)
        .says("have the same version");
}

/// `diesel` looks for a free version in one folder only.
#[test]
fn no_version_is_generated_twice() {
    let project = files(&["a", "b"]);
    for _ in 0..2 {
        project
            .run(&["migration", "generate", "--all", "more"])
            .ends(0);
    }
    let mut versions = std::collections::BTreeSet::new();
    for bind in ["a", "b"] {
        for entry in std::fs::read_dir(project.path(&format!("migrations/{bind}"))).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.ends_with("_more") {
                assert!(versions.insert(name.clone()), "{name} is there twice");
            }
        }
    }
    assert_eq!(versions.len(), 4);
    // A version given by hand is refused as well.
    let generate = |words: &[&str]| project.run(&[&["migration", "generate", "x"], words].concat());
    generate(&["--bind", "b", "--", "--version", "2026-11-21-090000"])
        .ends(2)
        .says("`a` has 2026-11-21-090000_create_a");
    generate(&["--all", "--", "--version=7"])
        .ends(2)
        .says("several binds");
    generate(&["--bind", "b", "--", "--version=7"]).ends(0);
    assert!(project.path("migrations/b/7_x/up.sql").exists());
}

#[test]
fn a_half_run_says_which_binds_are_done() {
    let project = files(&["a", "b", "c"]);
    project.run(&["setup", "--bind", "b"]).ends(0);
    project.migration("b", "2026-11-22-000000_broken", "CREATE TABLE;", "");
    let said = project.run(&["setup", "--all"]).ends(1);
    said.says("done: a\n")
        .says("failed: b\n")
        .says("not begun: c\n");
    assert!(project.path("a.db").exists() && !project.path("c.db").exists());
    let json = project
        .run(&["setup", "--all", "--format", "json"])
        .ends(1)
        .out;
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let outcomes: Vec<_> = (0..3)
        .map(|i| json["binds"][i]["outcome"].clone())
        .collect();
    assert_eq!(outcomes, ["done", "failed", "not begun"]);
    // Commands that only look go on.
    let said = project.run(&["migration", "list", "--all"]).ends(1);
    said.says("failed: c\n")
        .says("[ ] 2026-11-22-000000_broken");
    project.migration(
        "b",
        "2026-11-22-000000_broken",
        "CREATE TABLE more (id INTEGER PRIMARY KEY);",
        "",
    );
    project.run(&["setup", "--all"]).ends(0);
}

/// `diesel` takes a missing config file for an empty one, and uses its defaults in place of the project's settings.
#[test]
fn a_config_file_that_is_not_there_is_not_taken_for_an_empty_one() {
    let project = files(&["a"]);
    project.run(&["setup", "--all"]).ends(0);
    // Before: the filter is not applied, and no error is reported.
    let arguments = [
        "print-schema",
        "--config-file",
        "migrations/tpyo/diesel.toml",
        "--database-url",
        "a.db",
    ];
    project
        .plain("", &arguments)
        .ends(0)
        .says("diesel_binds_meta");
    // After.
    let config = project.read("migrations/a/diesel.toml");
    std::fs::remove_file(project.path("migrations/a/diesel.toml")).unwrap();
    for command in [
        &["setup", "--all"][..],
        &["migration", "generate", "--all", "x"],
        &["migration", "run", "--all"],
        &["migration", "pending", "--bind", "a"],
        &["print-schema", "--all"],
    ] {
        project
            .run(command)
            .ends(2)
            .says("there is no migrations/a/diesel.toml")
            .says("diesel-binds add a");
    }
    project
        .run(&["migration", "status"])
        .ends(1)
        .says("there is no");
    // A file with other folders, or without valid TOML.
    for (wrong, says) in [
        (
            config.replace("dir = \".\"", "dir = \"..\""),
            "in migrations, and",
        ),
        (config.replace("dir = \".\"", ""), "does not say where"),
        (
            config.replace("schema/a.rs", "schema.rs"),
            "in src/schema.rs, and",
        ),
        (config.replace("dir", "[[["), "diesel.toml"),
    ] {
        project.write("migrations/a/diesel.toml", &wrong);
        project
            .run(&["migration", "run", "--all"])
            .ends(2)
            .says("nothing was done")
            .says(says);
    }
    project
        .run(&["add", "a"])
        .ends(0)
        .says("kept  migrations/a/diesel.toml");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bind_that_cannot_be_reached_hides_no_other() {
    let mut shop = Shop::laid_out().await;
    shop.project.run(&["setup", "--all"]).ends(0);
    shop.project
        .set("LEDGER_DATABASE_URL", "mysql://app:unseen@127.0.0.1:1/app");
    let said = shop.project.run(&["migration", "status"]).ends(1);
    said.says("ledger: it cannot be reached")
        .says("ledger    MySQL/MariaDB        ?        ?        ?  ?")
        .says("accounts  PostgreSQL           2        0        0  none")
        .says("cache     SQLite               1        0        0  none");
    for command in ["list", "pending"] {
        let said = shop.project.run(&["migration", command, "--all"]).ends(1);
        said.says("done: accounts, cache\n")
            .says("failed: ledger\n");
    }
    shop.project
        .run(&["print-schema", "--all"])
        .ends(1)
        .says("// cache");
    // Commands that change databases begin on none.
    shop.project
        .run(&["migration", "revert", "--all"])
        .ends(2)
        .says("nothing was done")
        .says("ledger: it cannot be reached");
    shop.project
        .run(&["migration", "pending", "--bind", "accounts"])
        .ends(0);
    // A command that only looks does not create a missing file.
    shop.project.set("CACHE_DATABASE_URL", "missing.db");
    shop.project
        .run(&["migration", "list", "--all"])
        .ends(1)
        .says("diesel-binds setup --bind cache");
    assert!(!shop.project.path("missing.db").exists());
}

/// `diesel` logs a failed query, in colours even into a pipe, and then prints the error again.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_migration_is_reported_once_and_without_colours() {
    let mut shop = Shop::laid_out().await;
    for (bind, sql) in [
        ("accounts", "CREATE TABEL reported_once (id INT);"),
        ("ledger", "CREATE TABEL reported_once (id INT);"),
        ("cache", "CREATE TABEL reported_once (id INT);"),
    ] {
        shop.project
            .migration(bind, "2026-11-22-000000_broken", sql, "");
        let said = shop.project.run(&["setup", "--bind", bind]).ends(1);
        let all = format!("{}{}", said.out, said.err);
        assert!(!all.contains('\x1b'), "{all:?}");
        assert!(all.matches("TABEL").count() <= 1, "{all}");
        said.says("TABEL").says("2026-11-22-000000_broken");
    }
    // The log appears if the user sets the log level.
    shop.project.set("DIESEL_LOG", "error");
    let said = shop.project.run(&["migration", "run", "--bind", "cache"]);
    said.ends(1)
        .says("Failed to execute query")
        .says_nothing_of("\x1b");
}

/// Diesel has their migration recorded, and does not create the tables again.
#[tokio::test(flavor = "multi_thread")]
async fn tables_of_the_protocol_that_were_dropped_by_hand_are_made_again() {
    let shop = Shop::laid_out().await;
    shop.project
        .run(&["setup", "--all"])
        .ends(0)
        .says_nothing_of("again");
    shop.project.run(&["doctor", "--strict"]).ends(0);
    let mut ledger = Admin::connect(shop.ledger.url()).await;
    ledger.run("DROP TABLE diesel_binds_meta").await.unwrap();
    shop.project
        .run(&["doctor", "--strict"])
        .ends(1)
        .says("ledger: `diesel-binds setup --bind ledger` makes the tables that are missing");
    let said = shop.project.run(&["migration", "status"]).ends(1);
    said.says("`diesel-binds setup --bind ledger` makes them again")
        .says_nothing_of("--bind accounts");
    // The tables of other binds are left alone.
    let said = shop.project.run(&["setup", "--bind", "accounts"]).ends(0);
    said.says_nothing_of("again");
    shop.project.run(&["doctor", "--strict"]).ends(1);
    let said = shop.project.run(&["setup", "--all"]).ends(0);
    said.says("ledger: its tables of the commit protocol were gone")
        .says_nothing_of("accounts: its tables");
    shop.project.run(&["doctor", "--strict"]).ends(0);
    shop.project.run(&["migration", "status"]).ends(0);
}
