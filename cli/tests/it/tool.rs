//! The Diesel CLI is missing, too old, or without a backend. A stand-in prints the output of such a program.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::project::Project;

fn project(says: Option<&str>) -> Project {
    let mut project = Project::empty();
    project.run(&["init", "a=postgres", "b=sqlite"]).ends(0);
    let folder = project.path("tools");
    fs::create_dir(&folder).unwrap();
    if let Some(says) = says {
        project.write("tools/diesel", &format!("#!/bin/sh\necho '{says}'\n"));
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(project.path("tools/diesel"), mode).unwrap();
    }
    project.set("PATH", format!("{}", folder.display()));
    project.set("A_DATABASE_URL", "postgres://a:unseen@127.0.0.1:1/a");
    project.set("B_DATABASE_URL", "b.db");
    project
}

#[test]
fn the_error_says_how_to_get_a_diesel_of_use() {
    let install = "cargo install diesel_cli --version \"~2.3\" --locked --no-default-features \
                   --features postgres,sqlite-bundled";
    for (says, message) in [
        (None, "is not installed"),
        (Some("diesel 2.1.1"), "2.1 is too old"),
        (Some("diesel 1.4.1"), "1.4 is too old"),
        (Some("nonsense"), "does not say its version"),
        (
            Some("diesel \n Version: 2.3.14\n Supported Backends: mysql sqlite"),
            "without PostgreSQL",
        ),
    ] {
        let project = project(says);
        for command in [
            &["setup", "--all"][..],
            &["migration", "run", "--all"],
            &["migration", "generate", "--all", "x"],
            &["print-schema", "--bind", "a"],
        ] {
            let said = project.run(command).ends(2).says(message);
            said.says("cargo install diesel_cli --version \"~2.3\"");
        }
        project.run(&["setup", "--all"]).ends(2).says(install);
        // The table needs `diesel` for the schema files only.
        let said = project.run(&["migration", "status"]).ends(1);
        said.says(message).says("b     SQLite");
    }
}

#[test]
fn only_the_backends_that_are_asked_for_are_needed() {
    let says = "diesel \n Version: 2.4.0\n Supported Backends: sqlite";
    let project = project(Some(says));
    project
        .run(&["migration", "generate", "--bind", "b", "x"])
        .ends(0);
    project
        .run(&["migration", "generate", "--bind", "a", "x"])
        .ends(2)
        .says("--features postgres,sqlite-bundled` installs");
}
