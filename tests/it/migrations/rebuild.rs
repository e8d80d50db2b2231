//! A migration that is added, changed or deleted is embedded by the next build, with the `build.rs` of
//! `docs/migrations.md`.
//!
//! The test uses the real macro and the real cargo. Its program has stand-ins for the types that the macro names, so
//! that it builds in seconds.

use std::fs;
use std::path::Path;
use std::process::Command;

use kit::servers::workspace;

const MAIN: &str = r#"
mod diesel_migrations {
    pub struct EmbeddedMigrations(pub &'static [EmbeddedMigration]);
    pub struct EmbeddedMigration(pub &'static str, pub &'static str, pub bool);
    pub struct EmbeddedName;
    pub struct TomlMetadataWrapper;
    impl EmbeddedMigrations {
        pub const fn new(all: &'static [EmbeddedMigration]) -> Self { Self(all) }
    }
    impl EmbeddedMigration {
        pub const fn new(up: &'static str, _: Option<&'static str>, name: &'static str, transaction: bool) -> Self {
            Self(name, up, transaction)
        }
    }
    impl EmbeddedName {
        pub const fn new(name: &'static str) -> &'static str { name }
    }
    impl TomlMetadataWrapper {
        pub const fn new(transaction: bool) -> bool { transaction }
    }
}

const MIGRATIONS: diesel_migrations::EmbeddedMigrations = migrations_macros::embed_migrations!("migrations/accounts");

fn main() {
    for diesel_migrations::EmbeddedMigration(name, up, transaction) in MIGRATIONS.0 {
        println!("{name} {} {transaction}", up.trim());
    }
}
"#;

/// Returns the `build.rs` of the page.
fn build_rs() -> String {
    let page = fs::read_to_string(workspace().join("docs/migrations.md")).unwrap();
    let from = page.find("fn main() {\n    println!(\"cargo::").unwrap();
    let code = &page[from..];
    code[..code.find("```").unwrap()].to_owned()
}

fn migration(project: &Path, name: &str, file: &str, content: &str) {
    let folder = project.join("migrations/accounts").join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join(file), content).unwrap();
}

/// Builds and runs the program, and returns the migrations that it embeds.
fn built_in(project: &Path) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline"])
        .current_dir(project)
        // The dependencies are kept for the next build.
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).join("rebuild"),
        )
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_changed_migration_is_built_in() {
    let folder = tempfile::tempdir().unwrap();
    let project = folder.path();
    let manifest = "[package]\nname = \"rebuilt\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n\
                    [dependencies]\nmigrations_macros = \"2.3\"\n";
    fs::write(project.join("Cargo.toml"), manifest).unwrap();
    // The lock file has versions that are present, so nothing is downloaded.
    fs::copy(workspace().join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    fs::write(project.join("build.rs"), build_rs()).unwrap();
    fs::create_dir(project.join("src")).unwrap();
    fs::write(project.join("src/main.rs"), MAIN).unwrap();

    migration(project, "1_users", "up.sql", "first");
    assert_eq!(built_in(project), ["1_users first true"]);

    migration(project, "2_names", "up.sql", "second");
    assert_eq!(
        built_in(project),
        ["1_users first true", "2_names second true"]
    );

    migration(project, "1_users", "up.sql", "changed");
    migration(
        project,
        "2_names",
        "metadata.toml",
        "run_in_transaction = false",
    );
    assert_eq!(
        built_in(project),
        ["1_users changed true", "2_names second false"]
    );

    fs::remove_dir_all(project.join("migrations/accounts/1_users")).unwrap();
    assert_eq!(built_in(project), ["2_names second false"]);
}
