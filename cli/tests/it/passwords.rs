//! URLs and their passwords are never printed, whatever the Diesel CLI does with them.

use std::path::Path;

use crate::accidents::plain;
use crate::project::Project;

#[test]
fn a_password_is_not_printed() {
    let mut project = Project::empty().with_diesel();
    project.run(&["init", "a=mysql", "b=postgres"]).ends(0);
    // Before.
    let url = "mysql://app:unseen@127.0.0.1:1/app";
    let said = plain(&project, "list", "a", url).ends(1);
    assert!(said.err.contains("unseen"));
    // `start` searches the whole output for passwords. `setup` runs `diesel` on unreachable databases.
    for (a, b) in [
        (url, "postgres://app:unseen@127.0.0.1:1/app"),
        (
            "mysql://app:un%73een@127.0.0.1:1/app",
            "postgres://127.0.0.1:1/app?user=app&password=unseen",
        ),
        (
            "mysql://app:unseen@127.0.0.1:1",
            "postgres://app:unseen@127.0.0.1:1/app?sslmode=require",
        ),
        (
            "mysql//app:unseen@127.0.0.1:1",
            "host=127.0.0.1 port=1 user=app password=unseen",
        ),
        (
            "mysql://app:un/seen:unseen@127.0.0.1:1/x",
            "postgres://app:/unseen@127.0.0.1:1/x",
        ),
    ] {
        project.set("A_DATABASE_URL", a);
        project.set("B_DATABASE_URL", b);
        for bind in ["a", "b"] {
            for command in [
                &["setup", "--bind", bind][..],
                &["migration", "run", "--bind", bind],
                &["migration", "list", "--bind", bind],
                &["migration", "status"],
                &["print-schema", "--bind", bind],
                &["--format", "json", "migration", "pending", "--bind", bind],
            ] {
                assert_ne!(project.run(command).code, 0, "{command:?}");
            }
        }
    }
    project.set("A_DATABASE_URL", url);
    project.set("DIESEL_LOG", "trace");
    project
        .run(&["setup", "--bind", "a"])
        .ends(1)
        .says("app:***@");
}

/// `diesel` takes a URL without a scheme for the path of a SQLite file, and creates that file.
#[test]
fn a_connection_string_does_not_become_the_name_of_a_file() {
    let mut project = Project::empty().with_diesel();
    project.run(&["init", "b=postgres"]).ends(0);
    let string = "host=127.0.0.1 port=1 user=app password=unseen dbname=app";
    plain(&project, "list", "b", string).ends(0);
    let file = project.path(string);
    assert!(Path::new(&file).exists());
    std::fs::remove_file(&file).unwrap();
    project.set("B_DATABASE_URL", string);
    project
        .run(&["setup", "--all"])
        .ends(2)
        .says("`B_DATABASE_URL` is not a URL of PostgreSQL, as the Diesel CLI reads it");
    assert!(!Path::new(&file).exists());
}

/// `diesel` prints a line of `.env` that it cannot read, and always reads the `.env` of the top folder.
#[test]
fn a_line_of_the_environment_of_the_project_is_not_printed() {
    let mut project = Project::empty().with_diesel();
    project.run(&["init", "a=sqlite"]).ends(0);
    project.set("A_DATABASE_URL", "a.db");
    project.write(".env", "A_DATABASE_URL='mysql://a:unseen@b/c\n");
    project.write("src/.env", "");
    let said = plain(&project, "list", "a", "a.db").ends(1);
    assert!(said.err.contains("unseen"));
    project
        .run_in("src", &["setup", "--all"])
        .ends(2)
        .says("a line of `.env` cannot be read");
}
