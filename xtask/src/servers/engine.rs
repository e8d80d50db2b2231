//! Runs one server; the port [`Engine`] has the parts that depend on its kind.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::command::run_quietly;
use crate::servers::galera::Node;
use crate::servers::home::Home;
use crate::servers::mysql::Mysql;
use crate::servers::pgbouncer::Pgbouncer;
use crate::servers::postgres::Postgres;
use crate::servers::state::Record;
use crate::servers::{Data, Server, Set, port, process, programs};

const START_TIMEOUT: Duration = Duration::from_secs(90);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A kind of server.
pub(crate) trait Engine {
    /// Returns the account that runs the server when this program runs as root.
    fn account(&self) -> &'static str;

    /// Returns the command that fills an empty data directory.
    fn initialise(&self, home: &Home, data: &Path) -> Command;

    /// Records the port of the server behind this one, or of the other node of the cluster.
    fn follow(&mut self, upstream: u16) {
        let _ = upstream;
    }

    /// Prepares the data directory of a stopped server for a start.
    fn prepare(&self, home: &Home, port: u16) -> Result<()>;

    /// Returns the command that runs the server in the foreground.
    fn serve(&self, home: &Home, port: u16) -> Command;

    /// Returns a command that succeeds as soon as the server answers.
    fn ping(&self, home: &Home, port: u16) -> Command;

    /// Returns the signal that stops the server without waiting for its clients.
    fn stop_signal(&self) -> Signal;

    /// Returns the URL for the administrator.
    fn url(&self, port: u16) -> String;
}

/// Returns an option with a path for a program of MariaDB or MySQL.
pub(crate) fn option(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// One server of a set, with its home and its port.
pub(crate) struct Instance {
    server: Server,
    engine: Box<dyn Engine + Send + Sync>,
    home: Home,
    port: u16,
}

impl Instance {
    pub(crate) fn of(set: Set, server: Server, record: Option<&Record>) -> Result<Self> {
        let postgres =
            |slots| -> Result<_> { Ok(Postgres::new(programs::Postgres::of(set)?, slots)) };
        let mariadb = || programs::Mysql::of_mariadb(set);
        let engine: Box<dyn Engine + Send + Sync> = match server {
            Server::PostgresA | Server::PostgresB => Box::new(postgres(64)?),
            Server::PostgresPlain => Box::new(postgres(0)?),
            Server::MariadbA | Server::MariadbB => Box::new(Mysql::new(mariadb()?)),
            Server::MysqlA | Server::MysqlB => Box::new(Mysql::new(programs::Mysql::of_mysql()?)),
            Server::GaleraA | Server::GaleraB => {
                Box::new(Node::new(mariadb()?, programs::galera()?))
            }
            Server::Pgbouncer => Box::new(Pgbouncer::new(
                programs::pgbouncer(set)?,
                programs::Postgres::of(set)?.pg_isready,
            )),
        };
        let home = Home::find(
            &set.folder(server),
            engine.account(),
            record.map(|record| record.directory.as_path()),
        )?;
        Ok(Self {
            server,
            engine,
            home,
            port: record.map_or(0, |record| record.port),
        })
    }

    pub(crate) fn server(&self) -> Server {
        self.server
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        self.engine.url(self.port)
    }

    /// Returns the process, if the server runs.
    pub(crate) fn pid(&self) -> Option<u32> {
        let pid = fs::read_to_string(self.home.pid_file())
            .ok()?
            .trim()
            .parse()
            .ok()?;
        process::serves(pid, &self.home.data()).then_some(pid)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.pid().is_some()
    }

    /// Keeps the present port of the server if it is still free, and otherwise finds another.
    pub(crate) fn choose_port(&mut self, taken: &[u16]) -> Result<()> {
        if self.port == 0 || !port::is_free(self.port) {
            self.port = port::free(taken)?;
        }
        Ok(())
    }

    /// Gives a server in front of another one, or beside it in a cluster, the port of that server.
    pub(crate) fn follow(&mut self, ports: &BTreeMap<Server, u16>) {
        let upstream = self.server.upstream().or(self.server.peer());
        let upstream = upstream.and_then(|server| ports.get(&server));
        if let Some(port) = upstream {
            self.engine.follow(*port);
        }
    }

    /// Starts the server, and waits until it answers. The server outlives this program.
    pub(crate) fn start(&mut self, data: Data) -> Result<()> {
        if data == Data::Fresh {
            self.home.delete()?;
        }
        self.home.create()?;
        if !self.home.data().exists() {
            self.initialise()?;
        }
        self.engine.prepare(&self.home, self.port)?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.home.log())
            .context("cannot open the log")?;
        let mut server = self.engine.serve(&self.home, self.port);
        // In a process group of its own, so that Ctrl-C at the terminal does not reach the server.
        server
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut child = server
            .spawn()
            .with_context(|| format!("cannot run {:?}", server.get_program()))?;
        fs::write(self.home.pid_file(), child.id().to_string())
            .context("cannot write the pid file")?;

        let mut ended = None;
        let answers = process::wait_until(START_TIMEOUT, || {
            ended = child.try_wait().ok().flatten();
            ended.is_some() || run_quietly(&mut self.engine.ping(&self.home, self.port)).is_ok()
        });
        if let Some(status) = ended {
            bail!("it ended at once ({status}); {}", self.last_lines());
        }
        if !answers {
            process::kill(child.id())?;
            bail!(
                "it did not answer within {} s; {}",
                START_TIMEOUT.as_secs(),
                self.last_lines()
            );
        }
        Ok(())
    }

    /// Copies the data of another server that is stopped, in the place of those of this one.
    pub(crate) fn copy(&mut self, other: &Self) -> Result<()> {
        self.home.delete()?;
        self.home.create()?;
        let mut copy = self.home.command(Path::new("cp"));
        run_quietly(copy.arg("-a").args([other.home.data(), self.home.data()])).map(drop)
    }

    /// Stops the server if it runs.
    pub(crate) fn stop(&mut self) -> Result<()> {
        match self.pid() {
            Some(pid) => process::stop(pid, self.engine.stop_signal(), STOP_TIMEOUT),
            None => Ok(()),
        }
    }

    /// Kills the server if it runs.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.pid().map_or(Ok(()), process::kill)
    }

    /// Deletes the files of a stopped server.
    pub(crate) fn delete(self) -> Result<()> {
        self.home.delete()?;
        // The folder of all servers is deleted with the last of them.
        if let Some(parent) = self.home.directory().parent() {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// Creates the data directory under another name and then renames it, so that an interrupted start leaves no
    /// partial one.
    fn initialise(&self) -> Result<()> {
        let partial = self.home.directory().join("data.partial");
        if partial.exists() {
            fs::remove_dir_all(&partial)
                .with_context(|| format!("cannot delete {}", partial.display()))?;
        }
        run_quietly(&mut self.engine.initialise(&self.home, &partial))?;
        fs::rename(&partial, self.home.data()).context("cannot rename the data directory")
    }

    fn last_lines(&self) -> String {
        let path = self.home.log();
        let text = fs::read_to_string(&path).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        let last = &lines[lines.len().saturating_sub(10)..];
        format!("the last lines of {}:\n{}", path.display(), last.join("\n"))
    }
}
