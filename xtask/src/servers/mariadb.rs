//! The creation and the start of a MariaDB server, alone or as the only node of a Galera cluster.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use rustix::process::Signal;

use crate::servers::engine::{Engine, option};
use crate::servers::home::Home;
use crate::servers::programs;

/// The accounts, one statement a line: `root` without a password, and `app` with rights on the tests' databases only.
/// The statements run at each start, to repair accounts that a test has changed.
const ACCOUNTS: &str = r"DELETE FROM mysql.global_priv WHERE User = '';
FLUSH PRIVILEGES;
CREATE USER IF NOT EXISTS app@'127.0.0.1' IDENTIFIED BY 'app-secret';
CREATE USER IF NOT EXISTS app@localhost IDENTIFIED BY 'app-secret';
GRANT ALL ON `test\_%`.* TO app@'127.0.0.1';
GRANT ALL ON `test\_%`.* TO app@localhost;
";

/// The distance from the port of clients to that of the other nodes, which is below the ports of all servers.
const GROUP_DISTANCE: u16 = 10_000;

/// A MariaDB server.
pub(crate) struct Mariadb {
    programs: programs::Mariadb,
    /// The library that makes the server a node of a Galera cluster.
    galera: Option<PathBuf>,
}

impl Mariadb {
    pub(crate) fn new(programs: programs::Mariadb) -> Self {
        Self {
            programs,
            galera: None,
        }
    }

    /// Returns the node of a Galera cluster.
    pub(crate) fn node(programs: programs::Mariadb, galera: PathBuf) -> Self {
        Self {
            programs,
            galera: Some(galera),
        }
    }

    fn accounts(home: &Home) -> PathBuf {
        home.directory().join("accounts.sql")
    }

    fn socket(home: &Home) -> PathBuf {
        home.socket_folder().join("mariadb.sock")
    }
}

// `--no-defaults` comes first everywhere, to ignore the settings of the machine's own server.
impl Engine for Mariadb {
    fn account(&self) -> &'static str {
        "mysql"
    }

    fn initialise(&self, home: &Home, data: &Path) -> Command {
        let mut command = home.command(&self.programs.install_db);
        command
            .args([
                "--no-defaults",
                "--auth-root-authentication-method=normal",
                "--skip-test-db",
            ])
            .arg(option("--datadir", data));
        if let Some(base) = &self.programs.base {
            command.arg(option("--basedir", base));
        }
        command
    }

    fn prepare(&self, home: &Home, _: u16) -> Result<()> {
        if self.galera.is_some() {
            allow_bootstrap(&home.data())?;
        }
        fs::write(Self::accounts(home), ACCOUNTS)
            .context("cannot write the statements for the accounts")
    }

    fn serve(&self, home: &Home, port: u16) -> Command {
        let mut command = home.command(&self.programs.mariadbd);
        command
            .arg("--no-defaults")
            .arg(option("--datadir", &home.data()))
            .arg(option("--socket", &Self::socket(home)))
            .arg(option("--pid-file", &home.data().join("mariadb.pid")))
            .arg(option("--init-file", &Self::accounts(home)))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--skip-name-resolve",
                "--character-set-server=utf8mb4",
                "--max-connections=500",
                "--innodb-flush-log-at-trx-commit=1",
                "--innodb-buffer-pool-size=64M",
            ]);
        if let Some(base) = &self.programs.base {
            command.args([
                option("--basedir", base),
                option("--plugin-dir", &base.join("lib/mysql/plugin")),
            ]);
        }
        if let Some(galera) = &self.galera {
            let group = port - GROUP_DISTANCE;
            command
                .arg(option("--wsrep-provider", galera))
                .arg(format!(
                    "--wsrep-provider-options=gmcast.listen_addr=tcp://127.0.0.1:{group}"
                ))
                .args([
                    "--wsrep-on=ON",
                    "--wsrep-new-cluster",
                    "--wsrep-cluster-address=gcomm://",
                    "--wsrep-node-address=127.0.0.1",
                    "--binlog-format=ROW",
                ]);
        }
        command
    }

    fn ping(&self, home: &Home, port: u16) -> Command {
        let mut command = home.command(&self.programs.admin);
        command.args([
            "--no-defaults",
            "--protocol=tcp",
            "--host=127.0.0.1",
            "--user=root",
            "--connect-timeout=5",
        ]);
        command.arg(format!("--port={port}")).arg("ping");
        command
    }

    fn stop_signal(&self) -> Signal {
        Signal::TERM
    }

    fn url(&self, port: u16) -> String {
        format!("mysql://root@127.0.0.1:{port}/mysql")
    }
}

/// Lets a node that was killed start its cluster again: it has no other node, which could have later data.
fn allow_bootstrap(data: &Path) -> Result<()> {
    let path = data.join("grastate.dat");
    let state = match fs::read_to_string(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        state => state.with_context(|| format!("cannot read {}", path.display()))?,
    };
    let allowed = state.replace("safe_to_bootstrap: 0", "safe_to_bootstrap: 1");
    fs::write(&path, allowed).with_context(|| format!("cannot write {}", path.display()))
}
