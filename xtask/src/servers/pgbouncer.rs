//! The creation and the start of a pooler in front of a PostgreSQL server, which may give a connection to another
//! client after each transaction.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::servers::engine::Engine;
use crate::servers::home::Home;

/// A PgBouncer in transaction mode.
pub(crate) struct Pgbouncer {
    program: PathBuf,
    pg_isready: PathBuf,
    /// The port of the server behind the pooler.
    upstream: u16,
}

impl Pgbouncer {
    pub(crate) fn new(program: PathBuf, pg_isready: PathBuf) -> Self {
        Self {
            program,
            pg_isready,
            upstream: 0,
        }
    }

    fn settings(home: &Home) -> PathBuf {
        home.data().join("pgbouncer.ini")
    }
}

impl Engine for Pgbouncer {
    fn account(&self) -> &'static str {
        "postgres"
    }

    fn initialise(&self, home: &Home, data: &Path) -> Command {
        let mut command = home.command(Path::new("mkdir"));
        command.arg(data);
        command
    }

    fn follow(&mut self, upstream: u16) {
        self.upstream = upstream;
    }

    fn prepare(&self, home: &Home, port: u16) -> Result<()> {
        let users = home.data().join("users.txt");
        // The pooler has one connection for each database. Its next user gets it with all its state, because no query
        // cleans it up.
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {}\npool_mode = transaction\ndefault_pool_size = 1\n\
             server_login_retry = 1\nserver_idle_timeout = 5\nmax_client_conn = 200\n",
            self.upstream,
            users.display(),
        );
        fs::write(&users, "\"postgres\" \"\"\n")
            .and_then(|()| fs::write(Self::settings(home), settings))
            .context("cannot write the settings of PgBouncer")
    }

    fn serve(&self, home: &Home, _: u16) -> Command {
        let mut command = home.command(&self.program);
        command.arg(Self::settings(home));
        command
    }

    fn ping(&self, home: &Home, port: u16) -> Command {
        let mut command = home.command(&self.pg_isready);
        command.args(["--quiet", "--host=127.0.0.1", "--port", &port.to_string()]);
        command
    }

    fn stop_signal(&self) -> Signal {
        // The meaning of the other signals depends on the version.
        Signal::QUIT
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }
}
