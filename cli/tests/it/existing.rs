//! The page docs/existing-project.md, unchanged: from `tests/crates/one_database` to `tests/crates/two_binds`. Both are
//! compiled with the workspace.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kit::admin::Admin;
use kit::database::Database;
use kit::servers::{Server, workspace};

use crate::page::{Step, steps};
use crate::project::Project;

/// Returns the text files in a folder of a project, by their paths.
fn files(root: &Path, folder: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(root.join(folder)).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = if folder.is_empty() {
            name
        } else {
            format!("{folder}/{name}")
        };
        if root.join(&path).is_dir() {
            files.extend(self::files(root, &path));
        } else {
            files.insert(path.clone(), fs::read_to_string(root.join(&path)).unwrap());
        }
    }
    files
}

/// Returns the files that the page creates, without the migrations of other programs, and without the versions, which
/// depend on the clock.
fn made(root: &Path) -> BTreeMap<String, String> {
    let foreign = [
        "_diesel_binds/",
        "_diesel_initial_setup/",
        ".diesel_lock",
        "Cargo.toml",
    ];
    let unversioned = |path: &str| {
        let parts = path.split('/').map(|part| match part.split_once('_') {
            Some((version, name)) if version.starts_with("20") => name,
            _ => part,
        });
        parts.collect::<Vec<_>>().join("/")
    };
    files(root, "")
        .into_iter()
        .filter(|(path, _)| !foreign.iter().any(|part| path.contains(part)))
        .map(|(path, text)| (unversioned(&path), text))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_with_one_database_becomes_one_with_two_binds() {
    let crates = workspace().join("tests/crates");
    let (old, new) = (
        Database::on(Server::PostgresA).await,
        Database::on(Server::PostgresB).await,
    );
    let mut project = Project::empty().with_diesel();
    let own = Path::new(env!("CARGO_BIN_EXE_diesel-binds"));
    project.add_to_path(own.parent().unwrap());
    for (path, text) in files(&crates.join("one_database"), "") {
        project.write(&path, &text);
    }
    project.set("DATABASE_URL", old.url());
    project.plain("", &["migration", "run"]).ends(0);
    let printed = fs::read_to_string(crates.join("one_database/src/schema.rs")).unwrap();
    assert_eq!(project.read("src/schema.rs"), printed);

    project.set("ACCOUNTS_DATABASE_URL", old.url());
    project.set("LEDGER_DATABASE_URL", new.url());
    for step in steps("existing-project.md") {
        match step {
            Step::Run(script) => {
                let arguments = ["-euo", "pipefail", "-c", &script];
                project.start(Path::new("bash"), "", &arguments).ends(0);
            }
            Step::Write(file, text) => project.write(&file, &text),
        }
    }

    let expected = made(&crates.join("two_binds"));
    assert_eq!(made(&project.path("")), expected);
    let mut accounts = Admin::connect(old.url()).await;
    let mut ledger = Admin::connect(new.url()).await;
    let amounts = "SELECT amount::text AS value FROM entries ORDER BY id";
    assert!(accounts.values(amounts).await.is_err());
    assert_eq!(ledger.values(amounts).await.unwrap(), ["100", "50"]);
    // The sequence came with the rows.
    ledger
        .run("INSERT INTO entries (user_id, amount) VALUES (1, -30)")
        .await
        .unwrap();
    // Plain Diesel works as before, on the bind of the top folder.
    project
        .plain("", &["migration", "pending"])
        .ends(0)
        .says("false");
}
