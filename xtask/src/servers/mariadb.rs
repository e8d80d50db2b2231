//! The creation and the start of a MariaDB server.

use std::fs;
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

/// A MariaDB server.
pub(crate) struct Mariadb {
    programs: programs::Mariadb,
}

impl Mariadb {
    pub(crate) fn new(programs: programs::Mariadb) -> Self {
        Self { programs }
    }

    pub(crate) fn programs(&self) -> &programs::Mariadb {
        &self.programs
    }

    /// Writes the file with the statements for the accounts, after others.
    pub(crate) fn write_accounts(home: &Home, before: &str) -> Result<()> {
        fs::write(Self::accounts(home), format!("{before}{ACCOUNTS}"))
            .context("cannot write the statements for the accounts")
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
        Self::write_accounts(home, "")
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
