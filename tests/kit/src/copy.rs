//! A copy of a PostgreSQL server for one test: with the same system identifier and the same ids of databases.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::admin::Admin;
use crate::port;

/// The account that the server runs as when the test runs as root.
const ACCOUNT: &str = "postgres";

/// The longest wait until a server takes connections, or has caught up.
pub(super) const LONGEST: Duration = Duration::from_secs(60);

/// The role of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A server that is independent of its original after the copy.
    Independent,
    /// A hot standby, with the name that it gives to its primary.
    Standby(&'static str),
}

/// A copy of a server. Dropping this value stops it.
pub struct Copy {
    bin: String,
    is_root: bool,
    limits: Vec<String>,
    process: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl Copy {
    /// Copies the server of this URL, and starts the copy.
    pub async fn of(original: &str, role: Role) -> Self {
        let mut admin = Admin::connect(original).await;
        let bin = "SELECT setting AS value FROM pg_config WHERE name = 'BINDIR'";
        let bin = admin.values(bin).await.unwrap().remove(0);
        // A standby refuses to follow a primary whose limits are higher than its own.
        let limits = "SELECT name || '=' || setting AS value FROM pg_settings \
                      WHERE name IN ('max_connections', 'max_prepared_transactions')";
        let limits = admin.values(limits).await.unwrap();
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let mut copy = Self {
            bin,
            is_root: folder.path().metadata().is_ok_and(|of| of.uid() == 0),
            limits,
            process: None,
            port: port::free(),
            folder,
        };
        copy.fill(original, role);
        copy.start().await;
        copy
    }

    fn fill(&self, original: &str, role: Role) {
        if self.is_root {
            succeeds(Command::new("chown").arg(ACCOUNT).arg(self.folder.path()));
        }
        let mut source = Url::parse(original).expect("the URL of a database is one");
        let mut command = self.program("pg_basebackup");
        command.args(["--checkpoint=fast", "--no-sync", "--pgdata"]);
        command.arg(self.data());
        if let Role::Standby(name) = role {
            let mut query = source.query_pairs_mut();
            query.append_pair("application_name", name);
            command.arg("--write-recovery-conf");
        }
        command.arg(format!("--dbname={source}"));
        succeeds(&mut command);
        if role == Role::Independent {
            // The settings that the original got at run time are not for the copy.
            let settings = self.data().join("postgresql.auto.conf");
            std::fs::write(settings, "").expect("the folder of the copy can be written to");
        }
    }

    /// Starts the copy if it is stopped, and waits until it takes connections.
    pub async fn start(&mut self) {
        if self.process.is_none() {
            let mut command = self.program("postgres");
            command.arg("-D").arg(self.data());
            command.args(settings(self.port, self.folder.path(), &self.limits));
            command.stdin(Stdio::null()).stderr(Stdio::null());
            self.process = Some(command.spawn().expect("a server can be started"));
        }
        let url = self.url("postgres://postgres@127.0.0.1:1/postgres");
        let end = Instant::now() + LONGEST;
        while let Err(error) = AsyncPgConnection::establish(&url).await {
            assert!(Instant::now() < end, "the copy does not answer: {error}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the copy as a crash does: unwritten data is lost.
    pub fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        // SIGQUIT stops the child processes as well: an immediate shutdown. SIGKILL would leave them.
        let stop = Command::new("kill")
            .args(["-QUIT", &process.id().to_string()])
            .status();
        if let Err(error) = stop.and_then(|_| process.wait()) {
            eprintln!("cannot stop the copy of a server: {error}");
        }
    }

    /// Promotes a standby to the primary.
    pub async fn promote(&self) {
        let mut admin = self.admin().await;
        // A statement that waited for the promotion would have a snapshot, with which a replayed change may conflict.
        admin.run("SELECT pg_promote(false)").await.unwrap();
        let follows = "SELECT pg_is_in_recovery()::text AS value";
        let end = Instant::now() + LONGEST;
        while admin.values(follows).await.unwrap() == ["true"] {
            assert!(Instant::now() < end, "the standby is not promoted");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Changes a setting of the whole server, and waits until its processes use it.
    pub async fn set(&self, name: &str, value: &str) {
        let mut admin = self.admin().await;
        let set = format!("ALTER SYSTEM SET {name} = '{value}'");
        admin.run(&set).await.unwrap();
        admin.run("SELECT pg_reload_conf()").await.unwrap();
        let is_set = format!("SELECT current_setting('{name}') AS value");
        let end = Instant::now() + LONGEST;
        while self.admin().await.values(&is_set).await.unwrap() != [value] {
            assert!(Instant::now() < end, "{name} does not become {value}");
            sleep(Duration::from_millis(10)).await;
        }
        // Commits wait for a standby only once the checkpointer has read the settings as well, which it does before a
        // checkpoint. The server signals it before a new session has them.
        admin.run("CHECKPOINT").await.unwrap();
    }

    /// Connects as the administrator of the server.
    pub async fn admin(&self) -> Admin {
        Admin::connect(&self.url("postgres://postgres@127.0.0.1:1/postgres")).await
    }

    /// Returns the URL of the same database in the copy.
    pub fn url(&self, original: &str) -> String {
        let mut url = Url::parse(original).expect("the URL of a database is one");
        url.set_port(Some(self.port)).expect("it has a host");
        url.into()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self, name: &str) -> Command {
        program(&self.bin, name, self.is_root)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Returns a program of PostgreSQL, which refuses to run as root.
pub(super) fn program(bin: &str, name: &str, is_root: bool) -> Command {
    let program = format!("{bin}/{name}");
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups"])
        .arg(program)
        .current_dir("/");
    command
}

fn settings(port: u16, sockets: &Path, limits: &[String]) -> Vec<String> {
    let own = [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", sockets.display()),
        "shared_buffers=32MB".to_owned(),
        // Keeps the log that a standby of the copy still needs after a checkpoint.
        "wal_keep_size=512MB".to_owned(),
        // A standby lets a statement end before it replays a change that conflicts with it.
        "max_standby_streaming_delay=-1".to_owned(),
    ];
    own.iter()
        .chain(limits)
        .flat_map(|setting| ["-c".to_owned(), setting.clone()])
        .collect()
}

pub(super) fn succeeds(command: &mut Command) {
    let output = command.output().expect("the program is there");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
