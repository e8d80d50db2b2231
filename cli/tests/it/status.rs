//! The command `migration status`: the differences between a database and the files of its bind.

use std::fs;

use crate::project::{ProgramOutput, Project};

fn project() -> Project {
    let mut project = Project::empty().with_diesel();
    project.run(&["init", "a=sqlite"]).ends(0);
    project.set("A_DATABASE_URL", "a.db");
    add(&project, "2026-11-21-090000_notes", "notes");
    project.run(&["setup", "--all"]).ends(0);
    status(&project).ends(0).says("2        0        0  none");
    project
}

fn add(project: &Project, name: &str, table: &str) {
    let up = format!("CREATE TABLE {table} (id INTEGER NOT NULL PRIMARY KEY);");
    project.migration("a", name, &up, &format!("DROP TABLE {table};"));
}

fn status(project: &Project) -> ProgramOutput {
    project.run(&["migration", "status"])
}

#[test]
fn an_applied_migration_in_no_folder_is_unknown() {
    let project = project();
    fs::remove_dir_all(project.path("migrations/a/2026-11-21-090000_notes")).unwrap();
    status(&project)
        .ends(1)
        .says("1        0        1  ?")
        .says("a: applied, and not in its folder: 20261121090000");
    project
        .run(&["migration", "revert", "--all"])
        .ends(1)
        .says("is not in its folder");
}

#[test]
fn a_pending_migration_older_than_an_applied_one_is_drift() {
    let project = project();
    add(&project, "2026-11-20-090000_older", "older");
    status(&project)
        .ends(1)
        .says("2        1        0  order")
        .says("a: older than an applied one: 2026-11-20-090000_older");
}

#[test]
fn a_schema_file_that_is_not_what_the_database_has_is_drift() {
    let project = project();
    let file = project.read("src/schema/a.rs");
    project.write("src/schema/a.rs", &file.replace("notes", "nodes"));
    status(&project)
        .ends(1)
        .says("2        0        0  schema file")
        .says("src/schema/a.rs differs from its database");
    project.run(&["migration", "run", "--all"]).ends(0);
    status(&project).ends(0);
    fs::remove_file(project.path("src/schema/a.rs")).unwrap();
    status(&project).ends(1).says("schema file");
    // While a migration is pending, the schema file may be ahead.
    project.write("src/schema/a.rs", &file);
    add(&project, "2026-11-22-090000_more", "more");
    status(&project).ends(1).says("2        1        0  ?");
}

#[test]
fn two_migrations_of_one_version_in_one_folder_are_refused() {
    let project = project();
    add(&project, "20261121-090000_again", "again");
    for command in [&["run", "--all"][..], &["generate", "--all", "x"]] {
        project
            .run(&[&["migration"], command].concat())
            .ends(2)
            .says("has two migrations of one version");
    }
    status(&project)
        .ends(1)
        .says("has two migrations of one version");
}

/// These variables take precedence over a config file.
#[test]
fn variables_of_diesel_lead_nowhere_else() {
    let mut project = project();
    project.write(
        "elsewhere/2026-11-22-090000_x/up.sql",
        "CREATE TABLE x (id INTEGER PRIMARY KEY);",
    );
    project.set("MIGRATION_DIRECTORY", "elsewhere");
    project.set("DIESEL_CONFIG_FILE", "elsewhere/diesel.toml");
    project.set("DATABASE_URL", "elsewhere.db");
    // Before.
    project.plain("", &["migration", "list"]).ends(0).says("_x");
    assert!(project.path("elsewhere.db").exists());
    // After.
    project
        .run(&["migration", "list", "--all"])
        .ends(0)
        .says("[X] 2026-11-21-090000_notes")
        .says_nothing_of("_x");
    project.run(&["migration", "run", "--all"]).ends(0);
    status(&project).ends(0);
}
