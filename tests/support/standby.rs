//! A hot standby of a PostgreSQL server: a real replica, which lists no branch of its primary.

use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use url::Url;

use crate::support::admin::Admin;
use crate::support::servers::Server;

/// The account that the server runs as when we are root.
const ACCOUNT: &str = "postgres";

/// Until a copy of the server takes connections, and until it has caught up.
const LONGEST: Duration = Duration::from_secs(60);

/// A standby that follows its primary. Stopped with this value.
pub struct Standby {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Standby {
    /// Copies the server, and starts the copy.
    pub async fn of(server: Server) -> Self {
        let primary = server.url();
        let mut admin = Admin::connect(primary.as_str()).await;
        let bin = "SELECT setting AS value FROM pg_config WHERE name = 'BINDIR'";
        let bin = admin.values(bin).await.unwrap().remove(0);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .expect("a port is free")
            .port();
        let is_root = folder.path().metadata().is_ok_and(|of| of.uid() == 0);
        if is_root {
            succeeds(Command::new("chown").arg(ACCOUNT).arg(folder.path()));
        }
        let data = folder.path().join("data");
        let copy = as_account(is_root, &format!("{bin}/pg_basebackup"));
        succeeds(
            { copy }
                .args([
                    "--write-recovery-conf",
                    "--checkpoint=fast",
                    "--no-sync",
                    "--pgdata",
                ])
                .arg(&data)
                .arg(format!("--dbname={primary}")),
        );
        // It refuses to follow a primary that allows more than itself.
        let limits = "SELECT name || '=' || setting AS value FROM pg_settings \
                      WHERE name IN ('max_connections', 'max_prepared_transactions')";
        let limits = admin.values(limits).await.unwrap();
        let serve = as_account(is_root, &format!("{bin}/postgres"));
        let process = { serve }
            .arg("-D")
            .arg(&data)
            .args(settings(port, folder.path(), limits))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server can be started");
        let standby = Self {
            process,
            port,
            _folder: folder,
        };
        standby.answers(primary.as_str()).await;
        standby
    }

    async fn answers(&self, primary: &str) {
        let (url, end) = (self.url(primary), Instant::now() + LONGEST);
        while let Err(error) = AsyncPgConnection::establish(&url).await {
            assert!(Instant::now() < end, "the standby does not answer: {error}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The same database, on the standby.
    pub fn url(&self, primary: &str) -> String {
        let mut url = Url::parse(primary).expect("the URL of a database is one");
        url.set_port(Some(self.port)).expect("it has a host");
        url.into()
    }

    /// Waits until the standby has all that its primary has by now.
    pub async fn catches_up(&self, primary: &str) {
        let mut admin = Admin::connect(primary).await;
        let now = "SELECT pg_current_wal_flush_lsn()::text AS value";
        let now = admin.values(now).await.unwrap().remove(0);
        let replayed = format!("SELECT (pg_last_wal_replay_lsn() >= '{now}')::text AS value");
        let mut standby = Admin::connect(&self.url(primary)).await;
        let end = Instant::now() + LONGEST;
        while standby.values(&replayed).await.unwrap() != ["true"] {
            assert!(Instant::now() < end, "the standby does not follow");
            sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Standby {
    fn drop(&mut self) {
        // With its children: an immediate shutdown. SIGKILL would leave them.
        let stop = Command::new("kill")
            .args(["-QUIT", &self.process.id().to_string()])
            .status();
        if let Err(error) = stop.and_then(|_| self.process.wait()) {
            eprintln!("cannot stop the standby: {error}");
        }
    }
}

fn settings(port: u16, sockets: &Path, limits: Vec<String>) -> Vec<String> {
    [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", sockets.display()),
        "shared_buffers=32MB".to_owned(),
    ]
    .into_iter()
    .chain(limits)
    .flat_map(|setting| ["-c".to_owned(), setting])
    .collect()
}

fn as_account(is_root: bool, program: &str) -> Command {
    if !is_root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args([
            "--reuid",
            ACCOUNT,
            "--regid",
            ACCOUNT,
            "--clear-groups",
            program,
        ])
        .current_dir("/");
    command
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("the program is there");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
