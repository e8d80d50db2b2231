//! A pgbouncer in front of a PostgreSQL server, which gives each transaction another session.

use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use url::Url;

use crate::port;
use crate::secure_postgres::SecurePostgres;
use crate::servers::Server;

/// A pooler in transaction mode. Dropping this value stops it.
pub struct Pooler {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Pooler {
    /// Starts a pooler with this many sessions for each database.
    pub fn in_front_of(server: Server, sessions: u32) -> Self {
        Self::leading_to(&server.url(), sessions)
    }

    /// Starts a pooler for the server of this URL.
    pub fn leading_to(target: &Url, sessions: u32) -> Self {
        Self::with(target, "user=postgres", "", sessions)
    }

    /// Starts a pooler whose connections are encrypted on both sides.
    pub fn with_tls(server: &SecurePostgres) -> Self {
        let target = Url::parse(&server.url("shop", "")).expect("the URL of a database is one");
        let made = &server.certificates;
        let settings = format!(
            "client_tls_sslmode = require\nclient_tls_cert_file = {}\nclient_tls_key_file = {}\n\
             server_tls_sslmode = require\n",
            made.certificate("Good").display(),
            made.key("Good").display(),
        );
        Self::with(&target, "user=app password=app-secret", &settings, 4)
    }

    fn with(target: &Url, account: &str, more: &str, sessions: u32) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let port = port::free();
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} {account}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
             auth_type = any\npool_mode = transaction\ndefault_pool_size = {sessions}\n{more}",
            target.port().expect("the URL of a server has a port"),
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("the folder can be written to");
        // pgbouncer refuses to run as root and changes its account, but reads its file before that.
        let is_root = folder
            .path()
            .metadata()
            .is_ok_and(|folder| folder.uid() == 0);
        let account = if is_root {
            &["--user", "postgres"][..]
        } else {
            &[]
        };
        let process = Command::new("pgbouncer")
            .args(account)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).expect("a log can be made"))
            .spawn()
            .expect("pgbouncer is installed: `cargo xtask test` does so on Debian");
        let pooler = Self {
            process,
            port,
            folder,
        };
        pooler.wait();
        pooler
    }

    /// Returns the URL of the same database, through the pooler.
    pub fn url(&self, direct: &str) -> String {
        let mut url = Url::parse(direct).expect("the URL of a database is one");
        url.set_port(Some(self.port)).expect("it has a host");
        url.into()
    }

    fn wait(&self) {
        let end = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log"));
            assert!(
                Instant::now() < end,
                "pgbouncer does not answer: {:?}",
                log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if let Err(error) = self.process.kill().and_then(|()| self.process.wait()) {
            eprintln!("cannot stop pgbouncer: {error}");
        }
    }
}
