//! The creation and the start of a MySQL server.

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

/// A MySQL server.
pub(crate) struct Mysql {
    programs: programs::Mysql,
}

impl Mysql {
    pub(crate) fn new(programs: programs::Mysql) -> Self {
        Self { programs }
    }

    fn accounts(home: &Home) -> PathBuf {
        home.directory().join("accounts.sql")
    }

    /// Returns the command that runs the server, without the settings of the machine's own server.
    fn mysqld(&self, home: &Home, data: &Path) -> Command {
        let base = &self.programs.base;
        let mut command = home.command(&self.programs.mysqld);
        command
            .arg("--no-defaults")
            .args([
                option("--basedir", base),
                option("--lc-messages-dir", &base.join("share/mysql")),
                option("--character-sets-dir", &base.join("share/mysql/charsets")),
                option("--plugin-dir", &base.join("lib/mysql/plugin")),
                option("--datadir", data),
            ])
            .arg("--secure-file-priv=NULL");
        command
    }
}

impl Engine for Mysql {
    fn account(&self) -> &'static str {
        "mysql"
    }

    fn initialise(&self, home: &Home, data: &Path) -> Command {
        let mut command = self.mysqld(home, data);
        command.arg("--initialize-insecure");
        command
    }

    fn prepare(&self, home: &Home, _: u16) -> Result<()> {
        fs::write(Self::accounts(home), ACCOUNTS)
            .context("cannot write the statements for the accounts")
    }

    fn serve(&self, home: &Home, port: u16) -> Command {
        let mut command = self.mysqld(home, &home.data());
        command
            .arg(option("--socket", &home.socket_folder().join("mysql.sock")))
            .arg(option("--pid-file", &home.data().join("mysql.pid")))
            .arg(option("--init-file", &Self::accounts(home)))
            .arg(format!("--port={port}"))
            .args([
                "--bind-address=127.0.0.1",
                "--mysqlx=OFF",
                "--skip-name-resolve",
                "--max-connections=500",
                "--innodb-flush-log-at-trx-commit=1",
                "--innodb-buffer-pool-size=64M",
                // The default. Without it, a prepared transaction cannot be ended by another connection.
                "--xa-detach-on-prepare=ON",
            ]);
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
