//! The creation and the start of a server of MariaDB or MySQL.

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
const ACCOUNTS: &str = r"CREATE USER IF NOT EXISTS root@'127.0.0.1' IDENTIFIED BY '';
GRANT ALL ON *.* TO root@'127.0.0.1' WITH GRANT OPTION;
CREATE USER IF NOT EXISTS app@'127.0.0.1' IDENTIFIED BY 'app-secret';
CREATE USER IF NOT EXISTS app@localhost IDENTIFIED BY 'app-secret';
GRANT ALL ON `test\_%`.* TO app@'127.0.0.1';
GRANT ALL ON `test\_%`.* TO app@localhost;
";

/// The accounts that a new server of MariaDB has, and that come before others.
const NO_ANONYMOUS: &str = "DELETE FROM mysql.global_priv WHERE User = '';\nFLUSH PRIVILEGES;\n";

/// A server of MariaDB or MySQL.
pub(crate) struct Mysql {
    programs: programs::Mysql,
}

impl Mysql {
    pub(crate) fn new(programs: programs::Mysql) -> Self {
        Self { programs }
    }

    pub(crate) fn programs(&self) -> &programs::Mysql {
        &self.programs
    }

    /// Writes the file with the statements for the accounts, after others.
    pub(crate) fn write_accounts(&self, home: &Home, before: &str) -> Result<()> {
        let first = if self.is_mysql() { "" } else { NO_ANONYMOUS };
        fs::write(Self::accounts(home), format!("{before}{first}{ACCOUNTS}"))
            .context("cannot write the statements for the accounts")
    }

    fn accounts(home: &Home) -> PathBuf {
        home.directory().join("accounts.sql")
    }

    /// Returns a command of the server's programs, without the settings of the machine's own server.
    fn command(&self, home: &Home, program: &Path, data: &Path) -> Command {
        let mut command = home.command(program);
        command
            .arg("--no-defaults")
            .arg(option("--datadir", data))
            .args(
                self.programs
                    .base
                    .as_deref()
                    .map(|base| option("--basedir", base)),
            );
        command
    }

    fn server(&self, home: &Home, data: &Path) -> Command {
        let mut command = self.command(home, &self.programs.server, data);
        if let Some(base) = &self.programs.base {
            command.arg(option("--plugin-dir", &base.join("lib/mysql/plugin")));
            if self.is_mysql() {
                command.args([
                    option("--lc-messages-dir", &base.join("share/mysql")),
                    option("--character-sets-dir", &base.join("share/mysql/charsets")),
                    "--secure-file-priv=NULL".to_owned(),
                ]);
            }
        }
        command
    }

    fn is_mysql(&self) -> bool {
        self.programs.install_db.is_none()
    }
}

// `--no-defaults` comes first everywhere.
impl Engine for Mysql {
    fn account(&self) -> &'static str {
        "mysql"
    }

    fn initialise(&self, home: &Home, data: &Path) -> Command {
        let Some(install_db) = &self.programs.install_db else {
            let mut command = self.server(home, data);
            command.arg("--initialize-insecure");
            return command;
        };
        let mut command = self.command(home, install_db, data);
        command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
        command
    }

    fn prepare(&self, home: &Home, _: u16) -> Result<()> {
        self.write_accounts(home, "")
    }

    fn serve(&self, home: &Home, port: u16) -> Command {
        let mut command = self.server(home, &home.data());
        command
            .arg(option("--socket", &home.socket_folder().join("mysql.sock")))
            .arg(option("--pid-file", &home.data().join("mysql.pid")))
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
        if self.is_mysql() {
            // The second is the default. Without it, a prepared transaction cannot be ended by another connection.
            command.args(["--mysqlx=OFF", "--xa-detach-on-prepare=ON"]);
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
