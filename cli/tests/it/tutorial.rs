//! The page docs/tutorial.md, unchanged: its commands are run. Its program is the one in `tests/crates/shop`, which
//! runs over the databases and schema files that the commands created.

use std::fs;
use std::path::Path;
use std::process::Command;

use kit::admin::Admin;
use kit::database::Database;
use kit::servers::{Server, workspace};

use crate::page::{Step, steps};
use crate::project::Project;

const PAGE: &str = "tutorial.md";

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_lead_from_an_empty_directory_to_a_commit_on_two_databases() {
    let accounts = Database::on(Server::PostgresA).await;
    let ledger = Database::on(Server::MariadbA).await;
    let mut project = Project::empty().with_diesel();
    let own = Path::new(env!("CARGO_BIN_EXE_diesel-binds"));
    project.add_to_path(own.parent().unwrap());
    let mut is_run = false;
    for step in steps(PAGE) {
        match step {
            Step::Run(script) if script == "cargo run\n" => {
                let said = shop(accounts.url(), &ledger.app_url());
                assert!(said.starts_with("committed unit "), "{said}");
                assert!(said.ends_with("\n70 left, 1 entries\n"), "{said}");
                is_run = true;
            }
            Step::Run(script) => {
                if script.contains("export ") {
                    assert!(script.contains(" ACCOUNTS_DATABASE_URL=postgres://"));
                    assert!(script.contains(" LEDGER_DATABASE_URL=mysql://"));
                    project.set("ACCOUNTS_DATABASE_URL", accounts.url());
                    project.set("LEDGER_DATABASE_URL", ledger.app_url());
                }
                // The programs are installed, and the package exists.
                let done =
                    |line: &&str| !line.starts_with("cargo ") && !line.starts_with("export ");
                let script: String = script
                    .lines()
                    .filter(done)
                    .flat_map(|l| [l, "\n"])
                    .collect();
                let arguments = ["-euo", "pipefail", "-c", &script];
                project.start(Path::new("bash"), "", &arguments).ends(0);
            }
            Step::Write(file, text) => assert_eq!(text, kept(&file), "{file}"),
        }
    }
    assert!(is_run);
    let mut accounts = Admin::connect(accounts.url()).await;
    let balances = "SELECT balance::text AS value FROM users";
    assert_eq!(accounts.values(balances).await.unwrap(), ["70"]);
    let mut ledger = Admin::connect(ledger.url()).await;
    let amounts = "SELECT CAST(amount AS CHAR) AS value FROM entries";
    assert_eq!(ledger.values(amounts).await.unwrap(), ["30"]);
    for file in ["src/schema/accounts.rs", "src/schema/ledger.rs"] {
        assert_eq!(project.read(file), kept(file), "{file}");
    }
}

/// Reads a file of the program in `tests/crates/shop`.
fn kept(file: &str) -> String {
    fs::read_to_string(workspace().join("tests/crates/shop").join(file)).unwrap()
}

/// Runs the program, and returns its output. The program has the features of the whole workspace, so that the present
/// build is reused.
fn shop(accounts: &str, ledger: &str) -> String {
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--all-features",
            "--bin",
            "test-shop",
        ])
        .current_dir(workspace())
        .status();
    assert!(built.unwrap().success());
    let own = Path::new(env!("CARGO_BIN_EXE_diesel-binds"));
    let ran = Command::new(own.with_file_name("test-shop"))
        .env("ACCOUNTS_DATABASE_URL", accounts)
        .env("LEDGER_DATABASE_URL", ledger)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    String::from_utf8(ran.stdout).unwrap()
}
