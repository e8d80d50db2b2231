//! Mistakes that are found before anything is done: exit code 2.

use crate::project::Project;

#[test]
fn a_command_that_there_is_not_is_refused() {
    let project = Project::empty();
    project.run(&["dcotor"]).ends(2).says("dcotor");
    project.run(&[]).ends(2).says("doctor");
    project.run(&["--help"]).ends(0).says("doctor");
}

#[test]
fn a_project_without_a_manifest_gets_the_command_that_makes_one() {
    let project = Project::empty();
    for command in [&["doctor"][..], &["recover"], &["in-doubt", "list"]] {
        project.run(command).ends(2).says("diesel-binds init");
    }
    project
        .run(&["--manifest", "elsewhere.toml", "doctor"])
        .ends(2)
        .says("there is no")
        .says("elsewhere.toml");
}

#[test]
fn a_manifest_that_is_wrong_is_not_taken_for_an_empty_one() {
    for (manifest, says) in [
        ("", "missing field `namespace`"),
        ("namespace = \"shop\"\n", "missing field `bind`"),
        ("namespace = \"shop\"\n[bind]\n", "there is no bind"),
        (
            "namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\nfile = 1\n",
            "line 4: unknown field `file`",
        ),
        (
            "namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\nurl = \"mysql://a:unseen@b/c\"\n",
            "line 4: unknown field `url`",
        ),
    ] {
        Project::new(manifest).run(&["doctor"]).ends(2).says(says);
    }
}

#[test]
fn a_line_of_the_environment_that_is_wrong_is_not_printed() {
    let project = Project::new("namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n");
    project.write(".env", "A_DATABASE_URL='mysql://a:unseen@b/c\n");
    project.run(&["doctor"]).ends(2).says(".env");
}

#[test]
fn a_gid_that_is_none_is_refused() {
    let mut project = Project::new("namespace = \"shop\"\n[bind.a]\nbackend = \"sqlite\"\n");
    project.set("A_DATABASE_URL", "a.db");
    project
        .run(&["in-doubt", "resolve", "nonsense"])
        .ends(2)
        .says("in-doubt list");
    let other = "db1:other:0190c2f1a5b27e3c9d4f8a6b1c2d3e4f:a:0190c2f1a5b27e3c9d4f8a6b1c2d3e50";
    project
        .run(&["in-doubt", "resolve", other])
        .ends(2)
        .says("`other`");
}
