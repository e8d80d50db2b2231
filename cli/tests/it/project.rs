//! The folder of a project, and the programs that tests run in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use kit::database::Database;
use kit::servers::{Server, workspace};
use tempfile::TempDir;

/// The passwords of all URLs here, which must never be printed.
pub(crate) const SECRETS: [&str; 3] = ["app-secret", "pg-secret", "unseen"];

/// The folder of a project, and the environment in which its programs run.
pub(crate) struct Project {
    folder: TempDir,
    environment: Vec<(String, String)>,
}

/// The output of a program, and its exit code.
#[derive(Debug)]
pub(crate) struct ProgramOutput {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Project {
    /// Creates a folder with this manifest.
    pub(crate) fn new(manifest: &str) -> Self {
        let project = Self::empty();
        project.write("diesel-binds.toml", manifest);
        project
    }

    /// Creates a folder with only the files that `cargo new` writes.
    pub(crate) fn empty() -> Self {
        let project = Self {
            folder: tempfile::tempdir().expect("a temporary folder can be made"),
            environment: Vec::new(),
        };
        project.write("Cargo.toml", "[package]\nname = \"shop\"\n");
        project
    }

    /// Lets the programs find the real Diesel CLI, and no other.
    pub(crate) fn with_diesel(mut self) -> Self {
        let program = diesel();
        self.add_to_path(program.parent().expect("a program is in a folder"));
        self
    }

    /// Puts this folder before all others on the `PATH`.
    pub(crate) fn add_to_path(&mut self, folder: &Path) {
        let set = self.environment.iter().find(|(name, _)| name == "PATH");
        let path = match set {
            Some((_, path)) => path.clone(),
            None => std::env::var("PATH").unwrap_or_default(),
        };
        self.set("PATH", format!("{}:{path}", folder.display()));
    }

    /// Runs the Diesel CLI itself, as a user does without `diesel-binds`.
    pub(crate) fn plain(&self, folder: &str, arguments: &[&str]) -> ProgramOutput {
        self.start_openly(&diesel(), folder, arguments)
    }

    /// Writes a migration of a bind with these statements.
    pub(crate) fn migration(&self, bind: &str, name: &str, up: &str, down: &str) {
        self.write(&format!("migrations/{bind}/{name}/up.sql"), up);
        self.write(&format!("migrations/{bind}/{name}/down.sql"), down);
    }

    pub(crate) fn set(&mut self, variable: &str, value: impl Into<String>) {
        self.environment.retain(|(name, _)| name != variable);
        self.environment.push((variable.into(), value.into()));
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Runs the program in the folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> ProgramOutput {
        self.run_in("", arguments)
    }

    /// Runs the program in a subfolder.
    pub(crate) fn run_in(&self, folder: &str, arguments: &[&str]) -> ProgramOutput {
        self.start(
            Path::new(env!("CARGO_BIN_EXE_diesel-binds")),
            folder,
            arguments,
        )
    }

    /// Runs any program. Asserts that no password is in its output.
    pub(crate) fn start(&self, program: &Path, folder: &str, arguments: &[&str]) -> ProgramOutput {
        let said = self.start_openly(program, folder, arguments);
        for secret in SECRETS {
            assert!(
                !said.out.contains(secret) && !said.err.contains(secret),
                "{arguments:?} prints a password: {said:?}"
            );
        }
        said
    }

    /// Runs any program, even one that prints passwords.
    pub(crate) fn start_openly(
        &self,
        program: &Path,
        folder: &str,
        arguments: &[&str],
    ) -> ProgramOutput {
        let output = self
            .command(program, folder, arguments)
            .output()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        ProgramOutput {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Starts the program in the folder, with a pipe for its standard error, and does not wait for its end.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(Path::new(env!("CARGO_BIN_EXE_diesel-binds")), "", arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be started")
    }

    fn command(&self, program: &Path, folder: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.path(folder))
            .env_remove("DATABASE_URL")
            .env_remove("DIESEL_CONFIG_FILE")
            .env_remove("MIGRATION_DIRECTORY")
            .envs(self.environment.iter().cloned());
        command
    }
}

/// Returns the Diesel CLI that `cargo xtask` builds.
pub(crate) fn diesel() -> PathBuf {
    let program = workspace().join("target/tools/bin/diesel");
    assert!(
        program.is_file(),
        "there is no Diesel CLI: run `cargo xtask diesel`, or the tests by `cargo xtask test`"
    );
    program
}

impl ProgramOutput {
    /// Asserts the exit code.
    #[track_caller]
    pub(crate) fn ends(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        self
    }

    /// Asserts that the text is in the output, on either stream.
    #[track_caller]
    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.out.contains(text) || self.err.contains(text),
            "not said: {text}\n{}\n{}",
            self.out,
            self.err
        );
        self
    }

    /// Asserts that the text is in neither stream.
    #[track_caller]
    pub(crate) fn says_nothing_of(self, text: &str) -> Self {
        assert!(
            !self.out.contains(text) && !self.err.contains(text),
            "said: {text}\n{}\n{}",
            self.out,
            self.err
        );
        self
    }
}

/// A project with three binds of three backends, each with a database of its own.
pub(crate) struct Shop {
    pub(crate) project: Project,
    pub(crate) accounts: Database,
    pub(crate) ledger: Database,
    pub(crate) cache: Database,
}

pub(crate) const SHOP: &str = r#"
[bind.accounts]
backend = "postgres"
[bind.ledger]
backend = "mysql"
[bind.cache]
backend = "sqlite"
"#;

impl Shop {
    pub(crate) async fn open(namespace: &str) -> Self {
        let manifest = format!("namespace = \"{namespace}\"\n{SHOP}");
        Self::in_project(Project::new(&manifest)).await
    }

    /// Creates the layout of `diesel-binds init`.
    pub(crate) async fn laid_out() -> Self {
        let shop = Self::in_project(Project::empty().with_diesel()).await;
        let binds = ["accounts=postgres", "ledger=mysql", "cache=sqlite"];
        shop.project.run(&[&["init"], &binds[..]].concat()).ends(0);
        shop
    }

    async fn in_project(project: Project) -> Self {
        let mut shop = Self {
            project,
            accounts: Database::on(Server::PostgresA).await,
            ledger: Database::on(Server::MariadbA).await,
            cache: Database::sqlite(),
        };
        // The server requires no password, and accepts any.
        let accounts = shop
            .accounts
            .url()
            .replacen("postgres@", "postgres:pg-secret@", 1);
        assert!(accounts.contains("pg-secret"));
        shop.project.set("ACCOUNTS_DATABASE_URL", accounts);
        shop.project
            .set("LEDGER_DATABASE_URL", shop.ledger.app_url());
        shop.project.set("CACHE_DATABASE_URL", shop.cache.url());
        shop
    }
}
