//! The creation and the start of a PostgreSQL cluster.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::servers::engine::Engine;
use crate::servers::home::Home;
use crate::servers::programs;

/// A PostgreSQL cluster with a number of slots for prepared transactions.
pub(crate) struct Postgres {
    programs: programs::Postgres,
    max_prepared_transactions: u32,
}

impl Postgres {
    pub(crate) fn new(programs: programs::Postgres, max_prepared_transactions: u32) -> Self {
        Self {
            programs,
            max_prepared_transactions,
        }
    }
}

impl Engine for Postgres {
    fn account(&self) -> &'static str {
        "postgres"
    }

    fn initialise(&self, home: &Home, data: &Path) -> Command {
        let mut command = home.command(&self.programs.initdb);
        command
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--no-sync",
            ])
            .arg("--pgdata")
            .arg(data);
        command
    }

    fn prepare(&self, home: &Home, _: u16) -> Result<()> {
        // The file is of a killed process, like the lock of its socket. Here it is certain that no process is left.
        match fs::remove_file(home.data().join("postmaster.pid")) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(error).context("cannot remove a stale pid file")
            }
            _ => Ok(()),
        }
    }

    fn serve(&self, home: &Home, port: u16) -> Command {
        let settings = [
            String::from("listen_addresses=127.0.0.1"),
            format!("port={port}"),
            format!("unix_socket_directories={}", home.socket_folder().display()),
            format!(
                "max_prepared_transactions={}",
                self.max_prepared_transactions
            ),
            String::from("max_connections=400"),
            String::from("fsync=on"),
            String::from("shared_buffers=32MB"),
            // Keeps the log that a new copy or standby still needs after a checkpoint.
            String::from("wal_keep_size=512MB"),
        ];
        let mut command = home.command(&self.programs.postgres);
        command.arg("-D").arg(home.data());
        for setting in settings {
            command.args(["-c", &setting]);
        }
        command
    }

    fn ping(&self, home: &Home, port: u16) -> Command {
        let mut command = home.command(&self.programs.pg_isready);
        command.args(["--quiet", "--host=127.0.0.1", "--port", &port.to_string()]);
        command
    }

    fn stop_signal(&self) -> Signal {
        Signal::INT
    }

    fn url(&self, port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/postgres")
    }
}
