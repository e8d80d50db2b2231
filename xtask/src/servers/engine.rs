//! Runs one server; the port [`Engine`] is what its kind decides.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::Signal;

use crate::command::run_quietly;
use crate::servers::home::Home;
use crate::servers::mariadb::Mariadb;
use crate::servers::pgbouncer::Pgbouncer;
use crate::servers::postgres::Postgres;
use crate::servers::state::Record;
use crate::servers::{Data, Server, port, process};

const START_TIMEOUT: Duration = Duration::from_secs(90);
const STOP_TIMEOUT: Duration = Duration::from_secs(30);

/// A kind of server.
pub(crate) trait Engine {
    /// The account that runs it when this program runs as root.
    fn account(&self) -> &'static str;

    /// Fills an empty data directory.
    fn initialise(&self, home: &Home, data: &Path) -> Command;

    /// Notes the port of the server that this one stands in front of.
    fn follow(&mut self, upstream: u16) {
        let _ = upstream;
    }

    /// Makes the data directory of a server that does not run fit for a start.
    fn prepare(&self, home: &Home, port: u16) -> Result<()>;

    /// The server in the foreground.
    fn serve(&self, home: &Home, port: u16) -> Command;

    /// A command that succeeds as soon as the server answers.
    fn ping(&self, home: &Home, port: u16) -> Command;

    /// Stops the server without waiting for its clients.
    fn stop_signal(&self) -> Signal;

    /// Where the administrator connects.
    fn url(&self, port: u16) -> String;
}

/// One server of the set, with its home and its port.
pub(crate) struct Instance {
    server: Server,
    engine: Box<dyn Engine + Send + Sync>,
    home: Home,
    port: u16,
}

impl Instance {
    pub(crate) fn of(server: Server, record: Option<&Record>) -> Result<Self> {
        let engine: Box<dyn Engine + Send + Sync> = match server {
            Server::PostgresA | Server::PostgresB => Box::new(Postgres::find(64)?),
            Server::PostgresPlain => Box::new(Postgres::find(0)?),
            Server::MariadbA | Server::MariadbB => Box::new(Mariadb::find()?),
            Server::Pgbouncer => Box::new(Pgbouncer::find()?),
        };
        let home = Home::find(
            server,
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

    /// The process, if the server runs.
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

    /// Keeps the port that the server had, if it is still free.
    pub(crate) fn choose_port(&mut self, taken: &[u16]) -> Result<()> {
        if self.port == 0 || !port::is_free(self.port) {
            self.port = port::free(taken)?;
        }
        Ok(())
    }

    /// Tells a server that stands in front of another one where that is.
    pub(crate) fn follow(&mut self, ports: &BTreeMap<Server, u16>) {
        let upstream = self.server.upstream().and_then(|server| ports.get(&server));
        if let Some(port) = upstream {
            self.engine.follow(*port);
        }
    }

    /// Starts the server, and waits until it answers. It outlives this program.
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
        // A process group of its own: Ctrl-C at the terminal is not meant for the server.
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
        // The folder for all servers, when this was the last of them.
        if let Some(parent) = self.home.directory().parent() {
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// Made beside its place and then renamed, so that an interrupted start leaves no half of a data directory.
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
