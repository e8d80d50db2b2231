//! A PostgreSQL server for one test that takes encrypted connections only.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncConnection as _, AsyncPgConnection};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::admin::Admin;
use crate::certificates::{Certificates, Shown};
use crate::copy::{LONGEST, program, succeeds};
use crate::ended;
use crate::port;
use crate::servers::Server;

/// The client that shows a certificate instead of a password.
pub const CERTIFIED: &str = "certified";

/// A server with the databases `shop` and `bank`. Dropping this value stops it.
pub struct SecurePostgres {
    pub certificates: Certificates,
    bin: String,
    is_root: bool,
    process: Option<Child>,
    port: u16,
    folder: TempDir,
}

impl SecurePostgres {
    /// Starts a server that shows the good certificate.
    pub async fn start() -> Self {
        let mut admin = Admin::connect(Server::PostgresA.url().as_str()).await;
        let bin = "SELECT setting AS value FROM pg_config WHERE name = 'BINDIR'";
        let bin = admin.values(bin).await.unwrap().remove(0);
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let is_root = folder.path().metadata().is_ok_and(|of| of.uid() == 0);
        let certificates = Certificates::make(folder.path(), CERTIFIED);
        if is_root {
            succeeds(
                Command::new("chown")
                    .args(["-R", "postgres"])
                    .arg(folder.path()),
            );
        }
        let data = folder.path().join("data");
        succeeds(
            program(&bin, "initdb", is_root)
                .args([
                    "--no-sync",
                    "--auth=trust",
                    "--username=postgres",
                    "--encoding=UTF8",
                ])
                .args(["--locale=C", "--pgdata"])
                .arg(&data),
        );
        let port = port::free();
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nport = {port}\nunix_socket_directories = '{}'\n\
             shared_buffers = 32MB\nmax_prepared_transactions = 20\nssl = on\nssl_ca_file = '{}'\n\
             ssl_cert_file = '{}'\nssl_key_file = '{}'\n",
            folder.path().display(),
            certificates.certificate("root").display(),
            certificates.certificate("Good").display(),
            certificates.key("Good").display(),
        );
        let rules = format!(
            "local all all trust\nhostssl all {CERTIFIED} 127.0.0.1/32 cert\n\
             hostssl all all 127.0.0.1/32 scram-sha-256\n"
        );
        fs::write(data.join("postgresql.conf"), settings).unwrap();
        fs::write(data.join("pg_hba.conf"), rules).unwrap();
        let mut server = Self {
            certificates,
            bin,
            is_root,
            process: None,
            port,
            folder,
        };
        server.run().await;
        let mut admin = server.admin("postgres").await;
        for statement in [
            "CREATE ROLE app SUPERUSER LOGIN PASSWORD 'app-secret'",
            "CREATE ROLE certified SUPERUSER LOGIN",
            "CREATE DATABASE shop",
            "CREATE DATABASE bank",
        ] {
            admin.run(statement).await.unwrap();
        }
        server
    }

    /// Starts the server if it is stopped, with its data and at its address, and waits until it answers.
    pub async fn run(&mut self) {
        let end = Instant::now() + LONGEST;
        loop {
            // After a crash, the memory of the killed processes may be in use for a moment, and the server ends again.
            let ended = |process: &mut Child| process.try_wait().is_ok_and(|ended| ended.is_some());
            if self.process.as_mut().is_none_or(ended) {
                let process = program(&self.bin, "postgres", self.is_root)
                    .arg("-D")
                    .arg(self.folder.path().join("data"))
                    .stdin(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn();
                self.process = Some(process.expect("a server can be started"));
            }
            match AsyncPgConnection::establish(&self.socket("postgres")).await {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < end, "the server does not answer: {error}"),
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops the server, which ends its sessions and writes everything down.
    pub async fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            ended::after("-INT", process).await;
        }
    }

    /// Kills all processes of the server.
    pub async fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            ended::killed(process).await;
        }
    }

    /// Makes the server show another certificate to new connections.
    pub async fn shows(&self, shown: Shown) {
        let name = format!("{shown:?}");
        let file = self.certificates.certificate(&name).display().to_string();
        let key = self.certificates.key(&name).display().to_string();
        let mut admin = self.admin("postgres").await;
        for set in [
            format!("ALTER SYSTEM SET ssl_cert_file = '{file}'"),
            format!("ALTER SYSTEM SET ssl_key_file = '{key}'"),
            "SELECT pg_reload_conf()".to_owned(),
        ] {
            admin.run(&set).await.unwrap();
        }
        let is_set = "SELECT current_setting('ssl_cert_file') AS value";
        let end = Instant::now() + LONGEST;
        while self.admin("postgres").await.values(is_set).await.unwrap() != [&*file] {
            assert!(Instant::now() < end, "the certificate is not replaced");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Connects as the administrator by the socket of the server, which is not encrypted.
    pub async fn admin(&self, database: &str) -> Admin {
        let socket = AsyncPgConnection::establish(&self.socket(database)).await;
        Admin::Postgres(Box::new(socket.expect("the server answers")))
    }

    /// Returns the URL of a database, with these parameters.
    pub fn url(&self, database: &str, parameters: &str) -> String {
        let port = self.port;
        format!("postgres://app:app-secret@localhost:{port}/{database}?{parameters}")
    }

    /// Opens a connection as an application does that brings its own TLS.
    pub fn opener(
        &self,
    ) -> impl for<'u> Fn(&'u str) -> BoxFuture<'u, ConnectionResult<AsyncPgConnection>>
    + Send
    + Sync
    + 'static
    + use<> {
        let root = CertificateDer::from_pem_file(self.certificates.certificate("root"));
        let mut roots = RootCertStore::empty();
        roots
            .add(root.expect("a certificate"))
            .expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring has all versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = MakeRustlsConnect::new(config);
        move |url| {
            let (url, tls) = (url.to_owned(), tls.clone());
            async move {
                let connected = tokio_postgres::connect(&url, tls).await;
                let (client, connection) =
                    connected.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            .boxed()
        }
    }

    /// Returns the parameters that verify the server completely.
    pub fn verified(&self) -> String {
        let root = self.certificates.certificate("root");
        format!("sslmode=verify-full&sslrootcert={}", root.display())
    }

    fn socket(&self, database: &str) -> String {
        let (folder, port) = (self.folder.path().display(), self.port);
        format!("host={folder} port={port} user=postgres dbname={database}")
    }
}

impl Drop for SecurePostgres {
    fn drop(&mut self) {
        // SIGQUIT stops the child processes as well.
        if let Some(process) = self.process.take()
            && let Err(error) = ended::now("-QUIT", process)
        {
            eprintln!("cannot stop the server: {error}");
        }
    }
}
