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
use crate::port;
use crate::secure_postgres::CERTIFIED;

/// A server with the databases `shop` and `bank`. Dropping this value stops it.
pub struct SecureMariadb {
    pub certificates: Certificates,
    process: Child,
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
            .args(["--bind-address=127.0.0.1", "--require-secure-transport=ON"])
            .arg(format!(
                "--ssl-cert={}",
                certificates.certificate("shown").display()
            ))
            .arg(format!("--ssl-key={}", certificates.key("shown").display()))
            .arg(format!(
                "--ssl-ca={}",
                certificates.certificate("root").display()
            ))
            .arg("--innodb-buffer-pool-size=32M")
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log")).expect("a log can be made"))
            .spawn()
            .expect("a server can be started");
        let server = Self {
            certificates,
            process,
            port,
            folder,
        };
        let end = Instant::now() + LONGEST;
        while let Err(error) = AsyncMysqlConnection::establish(&server.socket("mysql")).await {
            let log = || fs::read_to_string(server.folder.path().join("log"));
            assert!(
                Instant::now() < end,
                "the server does not answer: {error}; {:?}",
                log()
            );
            sleep(Duration::from_millis(20)).await;
        }
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

    fn socket(&self, database: &str) -> String {
        let socket = self.folder.path().join("socket");
        format!(
            "mysql://root@localhost/{database}?socket={}",
            socket.display()
        )
    }
}

impl Drop for SecureMariadb {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot stop the server: {error}");
        }
    }
}
