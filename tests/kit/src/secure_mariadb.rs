//! A MariaDB server for one test that takes encrypted connections only.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncMysqlConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::certificates::{Certificates, Shown};
use crate::copy::{LONGEST, succeeds};
use crate::ended;
use crate::port;
use crate::secure_postgres::CERTIFIED;

/// A server with the databases `shop` and `bank`. Dropping this value stops it.
pub struct SecureMariadb {
    pub certificates: Certificates,
    is_root: bool,
    process: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl SecureMariadb {
    /// Starts a server that shows the good certificate.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let is_root = folder.path().metadata().is_ok_and(|of| of.uid() == 0);
        let certificates = Certificates::make(folder.path(), CERTIFIED);
        certificates.show(Shown::Good);
        if is_root {
            succeeds(
                Command::new("chown")
                    .args(["-R", "mysql"])
                    .arg(folder.path()),
            );
        }
        let data = format!("--datadir={}", folder.path().join("data").display());
        let user = is_root.then_some("--user=mysql");
        // Two servers that are set up at once would use the same temporary tables.
        let temporary = format!("--tmpdir={}", folder.path().display());
        succeeds(
            Command::new("mariadb-install-db")
                .args(["--no-defaults", &data, &temporary, "--skip-test-db"])
                .arg("--auth-root-authentication-method=normal")
                .args(user),
        );
        let mut server = Self {
            certificates,
            is_root,
            process: None,
            port: port::free(),
            folder,
        };
        server.run().await;
        let mut admin = server.admin("mysql").await;
        for statement in [
            "CREATE USER app@'%' IDENTIFIED BY 'app-secret'",
            "GRANT ALL ON *.* TO app@'%'",
            "CREATE USER certified@'%' REQUIRE X509",
            "GRANT ALL ON *.* TO certified@'%'",
            "CREATE DATABASE shop",
            "CREATE DATABASE bank",
        ] {
            admin.run(statement).await.unwrap();
        }
        server
    }

    /// Starts the server if it is stopped, with its data and at its address, and waits until it answers.
    pub async fn run(&mut self) {
        if self.process.is_none() {
            self.process = Some(self.command().spawn().expect("a server can be started"));
        }
        let end = Instant::now() + LONGEST;
        while let Err(error) = AsyncMysqlConnection::establish(&self.socket("mysql")).await {
            let log = || fs::read_to_string(self.folder.path().join("log"));
            assert!(
                Instant::now() < end,
                "the server does not answer: {error}; {:?}",
                log()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn command(&self) -> Command {
        let folder = self.folder.path();
        let path = |name: &str| folder.join(name).display().to_string();
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"));
        let mut command = Command::new("mariadbd");
        command
            .arg("--no-defaults")
            .arg(format!("--datadir={}", path("data")))
            .arg(format!("--tmpdir={}", folder.display()))
            .args(self.is_root.then_some("--user=mysql"))
            .arg(format!("--port={}", self.port))
            .arg(format!("--socket={}", path("socket")))
            .args(["--bind-address=127.0.0.1", "--require-secure-transport=ON"])
            .arg(format!("--ssl-cert={}", path("shown.crt")))
            .arg(format!("--ssl-key={}", path("shown.key")))
            .arg(format!("--ssl-ca={}", path("root.crt")))
            .arg("--innodb-buffer-pool-size=32M")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.expect("a log can be made"));
        command
    }

    /// Stops the server, which ends its sessions and writes everything down.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            ended::after("-TERM", process).await;
        }
    }

    /// Kills the server.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            ended::killed(process).await;
        }
    }

    /// Makes the server show another certificate to new connections.
    pub async fn shows(&self, shown: Shown) {
        self.certificates.show(shown);
        self.admin("mysql").await.run("FLUSH SSL").await.unwrap();
    }

    /// Connects as the administrator by the socket of the server, which is not encrypted.
    pub async fn admin(&self, database: &str) -> Admin {
        Admin::connect(&self.socket(database)).await
    }

    /// Returns the URL of a database, with these parameters.
    pub fn url(&self, database: &str, parameters: &str) -> String {
        let port = self.port;
        format!("mysql://app:app-secret@localhost:{port}/{database}?{parameters}")
    }

    /// Returns the URL of a database for the administrator, by the socket of the server.
    pub fn socket(&self, database: &str) -> String {
        let socket = self.folder.path().join("socket");
        format!(
            "mysql://root@localhost/{database}?socket={}",
            socket.display()
        )
    }
}

impl Drop for SecureMariadb {
    fn drop(&mut self) {
        if let Some(process) = self.process.take()
            && let Err(error) = ended::now("-KILL", process)
        {
            eprintln!("cannot stop the server: {error}");
        }
    }
}
