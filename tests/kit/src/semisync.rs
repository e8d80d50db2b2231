//! A MariaDB server for one test, whose commits wait for a replica.

use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncMysqlConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::port;

/// The longest wait until the server takes connections.
const LONGEST: Duration = Duration::from_secs(60);

/// A server with a binary log. It has no replica, and waits for one if it is set to. Dropping this value stops it.
pub struct Semisync {
    process: Child,
    port: u16,
    _folder: TempDir,
}

impl Semisync {
    /// Starts a server with an empty database named `shop`. Its commits wait for no replica yet.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let is_root = folder.path().metadata().is_ok_and(|of| of.uid() == 0);
        if is_root {
            succeeds(Command::new("chown").arg("mysql").arg(folder.path()));
        }
        let data = format!("--datadir={}", folder.path().join("data").display());
        let user = || is_root.then_some("--user=mysql");
        // Two servers that are set up at once would use the same temporary tables.
        let temporary = format!("--tmpdir={}", folder.path().display());
        succeeds(
            Command::new("mariadb-install-db")
                .args(["--no-defaults", &data, &temporary, "--skip-test-db"])
                .arg("--auth-root-authentication-method=normal")
                .args(user()),
        );
        let port = port::free();
        let process = Command::new("mariadbd")
            .args(["--no-defaults", &data, &temporary])
            .args(user())
            .arg(format!("--port={port}"))
            .arg(format!(
                "--socket={}",
                folder.path().join("socket").display()
            ))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve"])
            .args(["--log-bin", "--server-id=7", "--sync-binlog=1"])
            // Longer than any test.
            .arg("--rpl-semi-sync-master-timeout=600000")
            .arg("--innodb-buffer-pool-size=32M")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a server can be started");
        let server = Self {
            process,
            port,
            _folder: folder,
        };
        let end = Instant::now() + LONGEST;
        while let Err(error) = AsyncMysqlConnection::establish(&server.root()).await {
            assert!(Instant::now() < end, "the server does not answer: {error}");
            sleep(Duration::from_millis(20)).await;
        }
        let mut admin = server.admin().await;
        admin.run("CREATE DATABASE shop").await.unwrap();
        server
    }

    /// Sets whether each commit from now on waits for a replica.
    pub async fn waits(&self, waits: bool) {
        let set = format!(
            "SET GLOBAL rpl_semi_sync_master_enabled = {}",
            u8::from(waits)
        );
        self.admin().await.run(&set).await.unwrap();
    }

    /// Connects as the administrator of the server.
    pub async fn admin(&self) -> Admin {
        Admin::connect(&self.root()).await
    }

    /// Returns the URL of the database `shop`.
    pub fn url(&self) -> String {
        format!(
            "mysql://root@127.0.0.1:{}/shop?prefer_socket=false",
            self.port
        )
    }

    fn root(&self) -> String {
        self.url().replace("shop", "mysql")
    }
}

impl Drop for Semisync {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot stop the server: {error}");
        }
    }
}

fn succeeds(command: &mut Command) {
    let output = command.output().expect("the program is there");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
