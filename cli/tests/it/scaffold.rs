//! The commands `init` and `add`.

use crate::project::Project;

#[test]
fn a_new_project_gets_its_files() {
    let project = Project::empty();
    project
        .run(&["init", "accounts=postgres", "ledger=mysql"])
        .ends(0)
        .says("wrote diesel-binds.toml")
        .says("LEDGER_DATABASE_URL")
        .says("pub mod ledger: Ledger = \"src/schema/ledger.rs\";");
    assert!(
        project
            .read("diesel-binds.toml")
            .contains("namespace = \"shop\"")
    );
    for bind in ["accounts", "ledger"] {
        let config = project.read(&format!("migrations/{bind}/diesel.toml"));
        assert!(config.contains("dir = \".\""), "{config}");
        assert!(
            config.contains(&format!("file = \"../../src/schema/{bind}.rs\"")),
            "{config}"
        );
        let up = project.read(&format!(
            "migrations/{bind}/2026-01-01-000000_diesel_binds/up.sql"
        ));
        assert!(up.contains("diesel_binds_decision"));
    }
    assert!(
        project
            .read("diesel.toml")
            .contains("dir = \"migrations/accounts\"")
    );
    project
        .run(&["init", "other=sqlite"])
        .ends(2)
        .says("diesel-binds add");
}

#[test]
fn a_bind_is_added_behind_the_others() {
    let project = Project::empty();
    project.run(&["init", "accounts=postgres"]).ends(0);
    let before = project.read("diesel-binds.toml") + "# A remark of the user.";
    project.write("diesel-binds.toml", &before);
    project.run(&["add", "ledger"]).ends(2).says("--backend");
    project
        .run(&["add", "ledger", "--backend", "mysql", "--url-env", "MONEY"])
        .ends(0)
        .says("MONEY");
    let after = project.read("diesel-binds.toml");
    assert!(
        after.starts_with(&before) && after.contains("url_env = \"MONEY\""),
        "{after}"
    );
    // A bind in the database of another has no protocol tables of its own.
    project
        .run(&["add", "audit", "--shared-with", "ledger"])
        .ends(0);
    assert!(project.path("migrations/audit/diesel.toml").exists());
    assert!(
        !project
            .path("migrations/audit/2026-01-01-000000_diesel_binds")
            .exists()
    );
    // An invalid entry of the manifest is not written.
    let before = project.read("diesel-binds.toml");
    for wrong in [
        &["add", "Ledger", "--backend", "mysql"][..],
        &["add", "more", "--backend", "mysql", "--url-env", "MONEY"],
        &[
            "add",
            "more",
            "--shared-with",
            "nobody",
            "--backend",
            "mysql",
        ],
        &["add", "ledger", "--backend", "sqlite"],
        &[
            "add",
            "more",
            "--backend",
            "mysql",
            "--url-env",
            "mysql://a:unseen@b/c",
        ],
    ] {
        project.run(wrong).ends(2);
        assert_eq!(project.read("diesel-binds.toml"), before);
    }
    assert!(!project.path("migrations/more").exists());
}

#[test]
fn existing_files_are_never_overwritten() {
    let project = Project::empty();
    project.write("diesel.toml", "# mine\n");
    project.write("migrations/a/diesel.toml", "# mine too\n");
    project.write(
        "migrations/a/2026-01-01-000000_diesel_binds/up.sql",
        "SELECT 1;",
    );
    project
        .run(&["init", "a=sqlite"])
        .ends(0)
        .says("kept  diesel.toml");
    assert_eq!(project.read("diesel.toml"), "# mine\n");
    assert_eq!(project.read("migrations/a/diesel.toml"), "# mine too\n");
    let up = project.read("migrations/a/2026-01-01-000000_diesel_binds/up.sql");
    assert_eq!(up, "SELECT 1;");
    // Missing files are written; a second run changes nothing.
    std::fs::remove_file(project.path("migrations/a/diesel.toml")).unwrap();
    for _ in 0..2 {
        project.run(&["add", "a"]).ends(0);
        assert!(
            project
                .read("migrations/a/diesel.toml")
                .contains("src/schema/a.rs")
        );
    }
}

/// A user copied the migration by hand, with another version.
#[test]
fn the_migration_of_the_protocol_is_not_written_twice() {
    let project = Project::empty();
    project.write("migrations/a/2026-06-01-000000_diesel_binds/up.sql", "");
    project.run(&["init", "a=sqlite"]).ends(0);
    assert!(
        !project
            .path("migrations/a/2026-01-01-000000_diesel_binds")
            .exists()
    );
}

#[test]
fn a_namespace_is_asked_for_where_there_is_no_package() {
    let project = Project::empty();
    project.write("Cargo.toml", "[workspace]\n");
    project
        .run(&["init", "a=sqlite"])
        .ends(2)
        .says("--namespace");
    project
        .run(&["init", "--namespace", "shop", "a=oracle"])
        .ends(2);
    project
        .run(&["init", "--namespace", "Shop", "a=sqlite"])
        .ends(2);
    assert!(!project.path("diesel-binds.toml").exists());
    project
        .run(&["init", "--namespace", "shop", "a=sqlite"])
        .ends(0);
}

#[test]
fn an_unknown_backend_is_answered_with_the_known_ones() {
    let project = Project::empty();
    for command in [
        &["init", "b=maria"][..],
        &["init", "a=postgres", "b=oracle"],
    ] {
        project
            .run(command)
            .ends(2)
            .says("is not a backend: use one of postgres, mysql, sqlite (MariaDB is `mysql`)");
    }
    assert!(!project.path("diesel-binds.toml").exists());
}
