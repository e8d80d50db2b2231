//! README.md, "From an empty directory", as it stands: its commands and its SQL are run, and the program that it puts
//! together is the one in `tests/crates/shop`, which is compiled with the workspace.

use std::fs;
use std::path::Path;

use kit::admin::Admin;
use kit::database::Database;
use kit::servers::{Server, workspace};

use crate::project::Project;

/// The first block of this language behind a line.
fn block<'t>(text: &'t str, behind: &str, language: &str) -> &'t str {
    let open = format!("```{language}\n");
    let text = text.split_once(behind).expect(behind).1;
    let text = text.split_once(&open).expect(&open).1;
    text.split_once("```").expect("the block ends").0
}

const SECTION: &str = "## From an empty directory";

#[tokio::test(flavor = "multi_thread")]
async fn the_commands_lead_to_two_migrated_databases() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let accounts = Database::on(Server::PostgresA).await;
    let ledger = Database::on(Server::MariadbA).await;
    let mut project = Project::empty().with_diesel();
    let own = Path::new(env!("CARGO_BIN_EXE_diesel-binds"));
    project.add_to_path(own.parent().unwrap());
    let mut ran = 0;
    for line in block(&readme, SECTION, "sh").lines() {
        match line.split(' ').next().unwrap() {
            // Programs and package are there, and the program is compiled with the workspace.
            "cargo" => continue,
            "export" => {
                assert!(line.contains(" ACCOUNTS_DATABASE_URL=postgres://"));
                assert!(line.contains(" LEDGER_DATABASE_URL=mysql://"));
                project.set("ACCOUNTS_DATABASE_URL", accounts.url());
                project.set("LEDGER_DATABASE_URL", ledger.app_url());
            }
            _ if line.contains(" setup ") => {
                fill(&project, block(&readme, SECTION, "sql"));
                run(&project, line);
            }
            _ => run(&project, line),
        }
        ran += 1;
    }
    assert_eq!(ran, 5);
    let balances = "SELECT balance::text AS value FROM users";
    let mut accounts = Admin::connect(accounts.url()).await;
    assert_eq!(accounts.values(balances).await.unwrap(), ["100"]);
    for bind in ["accounts", "ledger"] {
        let file = format!("src/schema/{bind}.rs");
        let kept = fs::read_to_string(workspace().join("tests/crates/shop").join(&file)).unwrap();
        assert_eq!(project.read(&file), kept);
    }
}

fn run(project: &Project, line: &str) {
    let arguments = ["-euo", "pipefail", "-c", line];
    project.start(Path::new("bash"), "", &arguments).ends(0);
}

/// Each part of the block goes into the migration that its first line names.
fn fill(project: &Project, sql: &str) {
    for part in sql.split("-- ").filter(|part| !part.is_empty()) {
        let name = part.split_once('/').unwrap().0;
        let write = format!("cat > migrations/*/*_{name}/up.sql <<'SQL'\n-- {part}SQL\n");
        run(project, &write);
    }
}

#[test]
fn the_program_is_compiled() {
    let readme = fs::read_to_string(workspace().join("README.md")).unwrap();
    let head = block(&readme, SECTION, "rust,ignore");
    let program = block(&readme, "# diesel-binds", "rust,no_run");
    let from = program.find("#[derive(Bind)]").unwrap();
    let tagged = ["#[bind(Accounts)]", "bind_tables!"];
    let program = program[from..]
        .lines()
        .filter(|line| !tagged.iter().any(|tag| line.starts_with(tag)));
    let told: String = head.lines().chain(program).collect();
    let kept = fs::read_to_string(workspace().join("tests/crates/shop/src/main.rs")).unwrap();
    let (_, kept) = kept.split_once("\n\n").expect("what the file is");
    assert_eq!(bare(&told), bare(kept));
}

/// Without what is only layout.
fn bare(code: &str) -> String {
    let code = code.replace(char::is_whitespace, "");
    code.replace(",}", "}").replace(",)", ")")
}
