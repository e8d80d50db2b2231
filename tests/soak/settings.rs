//! The settings of a run, and their transfer from the director to its children.

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use kit::harness::number;

const ROLE: &str = "DIESEL_BINDS_SOAK_ROLE";
const NAMESPACE: &str = "DIESEL_BINDS_SOAK_NAMESPACE";
const URLS: &str = "DIESEL_BINDS_SOAK_URLS";
const SEED: &str = "DIESEL_BINDS_SOAK_SEED";
const UNITS: &str = "DIESEL_BINDS_SOAK_UNITS";
const SECONDS: &str = "DIESEL_BINDS_SOAK_SECONDS";
const HOSTS_ONLY: &str = "DIESEL_BINDS_SOAK_HOSTS_ONLY";
const MYSQL: &str = "DIESEL_BINDS_SOAK_MYSQL";
const GALERA: &str = "DIESEL_BINDS_SOAK_GALERA";

/// The length and the kind of a run.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The number of units after which the run ends.
    pub(crate) units: u64,
    /// The time after which the run ends, if that comes first.
    pub(crate) time: Option<Duration>,
    /// The seed of its random numbers.
    pub(crate) seed: u64,
    /// Each unit spans the file of its host, one PostgreSQL and one MariaDB server.
    pub(crate) hosts_only: bool,
    /// Servers of MySQL are in the place of those of MariaDB.
    pub(crate) mysql: bool,
    /// A database of a Galera cluster is in the place of one of MariaDB, and in each unit. Each host uses another node.
    pub(crate) galera: bool,
}

/// The role of this process.
pub(crate) enum Role {
    Director,
    Worker(Site),
    Recoverer(Site),
}

/// The site of a child.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) namespace: String,
    /// The URLs, in the order of `bank::KEYS`; the file is that of the child's host.
    pub(crate) urls: Vec<String>,
    pub(crate) seed: u64,
    pub(crate) hosts_only: bool,
    pub(crate) galera: bool,
}

impl Settings {
    pub(crate) fn from_environment() -> Self {
        Self {
            units: number(UNITS).unwrap_or(600),
            time: number(SECONDS).map(Duration::from_secs),
            seed: number(SEED).unwrap_or_else(|| fastrand::u64(..)),
            hosts_only: env::var_os(HOSTS_ONLY).is_some(),
            mysql: env::var_os(MYSQL).is_some(),
            galera: env::var_os(GALERA).is_some(),
        }
    }
}

impl Role {
    pub(crate) fn of_this_process() -> Self {
        let site = || Site {
            namespace: env::var(NAMESPACE).expect("the director names the namespace"),
            urls: env::var(URLS)
                .expect("the director names the databases")
                .lines()
                .map(str::to_owned)
                .collect(),
            seed: number(SEED).expect("the director gives a seed"),
            hosts_only: env::var_os(HOSTS_ONLY).is_some(),
            galera: env::var_os(GALERA).is_some(),
        };
        match env::var(ROLE).as_deref() {
            Ok("worker") => Self::Worker(site()),
            Ok("recoverer") => Self::Recoverer(site()),
            _ => Self::Director,
        }
    }
}

impl Site {
    /// Returns this program in another role, with pipes for its input and output.
    pub(crate) fn child(&self, role: &str) -> Command {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command
            .env(ROLE, role)
            .env(NAMESPACE, &self.namespace)
            .env(URLS, self.urls.join("\n"))
            .env(SEED, self.seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        command
    }
}
