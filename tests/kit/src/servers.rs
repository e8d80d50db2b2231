//! The addresses of the servers, from the environment or from the file that `cargo xtask servers start` writes.

use std::env;
use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;

use url::Url;

/// The variable with the names of the MariaDB servers that MySQL takes the places of: one or both, with a comma between.
const MYSQL: &str = "DIESEL_BINDS_TEST_MYSQL";

const HINT: &str = "run `cargo xtask servers start`, or the tests by `cargo xtask test`";

/// One of the private servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Server {
    /// A PostgreSQL server that can prepare transactions.
    PostgresA,
    /// A second PostgreSQL server that can prepare transactions.
    PostgresB,
    /// A PostgreSQL server with its default of `max_prepared_transactions = 0`.
    PostgresPlain,
    /// A MariaDB server, or MySQL in its place ([`is_mysql`](Self::is_mysql)).
    MariadbA,
    /// A second MariaDB server, or MySQL in its place.
    MariadbB,
    /// A MySQL server with `xa_detach_on_prepare = ON`.
    MysqlA,
    /// A second MySQL server.
    MysqlB,
    /// A node of a Galera cluster, which only the tests of Galera use.
    GaleraA,
    /// The other node of that cluster, with the same databases.
    GaleraB,
    /// A pooler in front of [`PostgresA`](Self::PostgresA), which may use another connection for each transaction.
    Pgbouncer,
}

/// The kind of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Postgres,
    /// MySQL or MariaDB.
    Mysql,
}

impl Server {
    /// Returns whether the server is MySQL: by its name, or because MySQL takes the place of MariaDB
    /// (`DIESEL_BINDS_TEST_MYSQL`).
    pub fn is_mysql(self) -> bool {
        matches!(self.actual(), Self::MysqlA | Self::MysqlB)
    }

    /// Returns the server that has the place of this one.
    fn actual(self) -> Self {
        let of_mysql = match self {
            Self::MariadbA => Self::MysqlA,
            Self::MariadbB => Self::MysqlB,
            other => return other,
        };
        let replaced = env::var(MYSQL).unwrap_or_default();
        match replaced.split(',').any(|name| name == self.own_name()) {
            true => of_mysql,
            false => self,
        }
    }

    /// Returns the name of the server in `cargo xtask servers`.
    pub fn name(self) -> &'static str {
        self.actual().own_name()
    }

    fn own_name(self) -> &'static str {
        match self {
            Self::PostgresA => "postgres-a",
            Self::PostgresB => "postgres-b",
            Self::PostgresPlain => "postgres-plain",
            Self::MariadbA => "mariadb-a",
            Self::MariadbB => "mariadb-b",
            Self::MysqlA => "mysql-a",
            Self::MysqlB => "mysql-b",
            Self::GaleraA => "galera-a",
            Self::GaleraB => "galera-b",
            Self::Pgbouncer => "pgbouncer",
        }
    }

    pub fn kind(self) -> Kind {
        match self {
            Self::PostgresA | Self::PostgresB | Self::PostgresPlain | Self::Pgbouncer => {
                Kind::Postgres
            }
            Self::MariadbA
            | Self::MariadbB
            | Self::MysqlA
            | Self::MysqlB
            | Self::GaleraA
            | Self::GaleraB => Kind::Mysql,
        }
    }

    /// Returns the URL for the administrator.
    ///
    /// # Panics
    ///
    /// If the server does not run: a missing server is a failure, not a skip.
    pub fn url(self) -> Url {
        let url = self.configured_url();
        if !answers(&url) {
            panic!("{} does not run: {}", self.name(), self.hint());
        }
        url
    }

    /// Returns the URL for the administrator, whether the server runs or not.
    pub fn configured_url(self) -> Url {
        let text = env::var(self.variable()).unwrap_or_else(|_| {
            let file = read_file();
            let url = file
                .get(if are_later() { "later" } else { "servers" })
                .and_then(|servers| servers.get(self.name())?.get("url")?.as_str());
            url.unwrap_or_else(|| panic!("{} was never started: {}", self.name(), self.hint()))
                .to_owned()
        });
        Url::parse(&text)
            .unwrap_or_else(|error| panic!("the URL of {} is not valid: {error}", self.name()))
    }

    fn hint(self) -> &'static str {
        match self.actual() {
            Self::MysqlA | Self::MysqlB => "run `cargo xtask servers start --set mysql`",
            Self::GaleraA | Self::GaleraB => "run `cargo xtask servers start --set galera`",
            _ => HINT,
        }
    }

    fn variable(self) -> String {
        format!(
            "DIESEL_BINDS_TEST_{}",
            self.name().replace('-', "_").to_uppercase()
        )
    }
}

/// Returns whether the servers are of later releases than those of the machine (`cargo xtask servers start --set later`).
pub fn are_later() -> bool {
    env::var("DIESEL_BINDS_TEST_SET").is_ok_and(|set| set == "later")
}

/// Returns the program that kills and restarts the servers.
pub fn xtask() -> PathBuf {
    let file = read_file();
    let path = file.get("xtask").and_then(toml::Value::as_str);
    PathBuf::from(path.expect("`cargo xtask servers` writes its own path"))
}

/// Returns the top folder of the workspace. The variable at run time comes first, because checkouts that share a target
/// folder share the compiled tests.
pub fn workspace() -> PathBuf {
    let package = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    let top = package
        .ancestors()
        .find(|folder| folder.join("xtask/Cargo.toml").is_file());
    top.expect("every package with tests is in the workspace")
        .to_owned()
}

fn read_file() -> toml::Table {
    let path = workspace().join("target/servers/servers.toml");
    let text = fs::read_to_string(&path).unwrap_or_else(|_| panic!("there are no servers: {HINT}"));
    text.parse()
        .unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

fn answers(url: &Url) -> bool {
    let address = (
        url.host_str().unwrap_or("127.0.0.1"),
        url.port().unwrap_or(0),
    );
    address
        .to_socket_addrs()
        .into_iter()
        .flatten()
        .any(|address| TcpStream::connect(address).is_ok())
}
