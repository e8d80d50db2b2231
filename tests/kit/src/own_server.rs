//! A server of MariaDB or MySQL for one test.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncMysqlConnection};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::admin::Admin;
use crate::copy::{LONGEST, succeeds};
use crate::port;
use crate::servers::Server;

/// A server with the account `root`, which has no password. Dropping this value stops it.
pub struct OwnServer {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl OwnServer {
    /// Starts a server of the programs of another one, with further options. Its files are beside those in `folder`.
    pub async fn like(server: Server, folder: TempDir, options: &[String]) -> Self {
        Self::start(Programs::of(server).await, folder, options).await
    }

    /// Starts a server of MariaDB, whether MySQL has its place or not.
    pub async fn mariadb(folder: TempDir, options: &[String]) -> Self {
        Self::start(Programs { base: None }, folder, options).await
    }

    async fn start(programs: Programs, folder: TempDir, options: &[String]) -> Self {
        let is_root = folder.path().metadata().is_ok_and(|of| of.uid() == 0);
        if is_root {
            let mut chown = Command::new("chown");
            succeeds(chown.args(["-R", "mysql"]).arg(folder.path()));
        }
        let user = || is_root.then_some("--user=mysql");
        let places = [
            option("--datadir", &folder.path().join("data")),
            // Two servers that are set up at once would use the same temporary tables.
            option("--tmpdir", folder.path()),
        ];
        succeeds(programs.initialise().args(&places).args(user()));
        let port = port::free();
        let log = fs::File::create(folder.path().join("log")).expect("a log can be made");
        let process = programs
            .server()
            .args(&places)
            .args(user())
            .args([
                option("--socket", &folder.path().join("socket")),
                option("--pid-file", &folder.path().join("pid")),
                format!("--port={port}"),
            ])
            .args(["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=32M"])
            .args(options)
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("a server can be started");
        let server = Self {
            process,
            port,
            folder,
        };
        let end = Instant::now() + LONGEST;
        while let Err(error) = AsyncMysqlConnection::establish(&server.socket("mysql")).await {
            let log = fs::read_to_string(server.folder.path().join("log"));
            assert!(
                Instant::now() < end,
                "the server does not answer: {error}; {log:?}"
            );
            sleep(Duration::from_millis(20)).await;
        }
        server
    }

    /// Connects as the administrator by the socket of the server, which is not encrypted.
    pub async fn admin(&self, database: &str) -> Admin {
        Admin::connect(&self.socket(database)).await
    }

    /// Returns the URL of a database, by the network.
    pub fn url(&self, account: &str, database: &str, parameters: &str) -> String {
        let port = self.port;
        format!("mysql://{account}@localhost:{port}/{database}?{parameters}")
    }

    fn socket(&self, database: &str) -> String {
        let socket = self.folder.path().join("socket");
        format!(
            "mysql://root@localhost/{database}?socket={}",
            socket.display()
        )
    }
}

impl Drop for OwnServer {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot stop the server: {error}");
        }
    }
}

pub(super) fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// The programs of a running server.
struct Programs {
    /// The folder of `sbin` and `share` of MySQL. The programs of MariaDB are those of the machine.
    base: Option<PathBuf>,
}

impl Programs {
    async fn of(server: Server) -> Self {
        if !server.is_mysql() {
            return Self { base: None };
        }
        let mut admin = Admin::connect(server.url().as_str()).await;
        let base = admin.values("SELECT @@basedir AS value").await.unwrap();
        Self {
            base: Some(PathBuf::from(&base[0])),
        }
    }

    /// Returns the command that fills a data folder.
    fn initialise(&self) -> Command {
        if self.base.is_some() {
            let mut command = self.server();
            command.arg("--initialize-insecure");
            return command;
        }
        let mut command = Command::new("mariadb-install-db");
        command.args(["--no-defaults", "--skip-test-db"]);
        command.arg("--auth-root-authentication-method=normal");
        command
    }

    fn server(&self) -> Command {
        let Some(base) = &self.base else {
            let mut command = Command::new("mariadbd");
            command.arg("--no-defaults");
            return command;
        };
        let mut command = Command::new(base.join("sbin/mysqld"));
        command.args(["--no-defaults", "--mysqlx=OFF", "--secure-file-priv=NULL"]);
        for (name, folder) in [
            ("--basedir", ""),
            ("--lc-messages-dir", "share/mysql"),
            ("--character-sets-dir", "share/mysql/charsets"),
            ("--plugin-dir", "lib/mysql/plugin"),
        ] {
            command.arg(option(name, &base.join(folder)));
        }
        command
    }
}
