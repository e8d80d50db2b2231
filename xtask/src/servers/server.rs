//! The names of the servers.

use std::fmt;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

/// One of the private servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Server {
    /// PostgreSQL that can prepare transactions
    PostgresA,
    /// A second PostgreSQL that can prepare transactions
    PostgresB,
    /// PostgreSQL with its default of `max_prepared_transactions = 0`
    PostgresPlain,
    /// MariaDB
    MariadbA,
    /// A second MariaDB
    MariadbB,
    /// PgBouncer in transaction mode, in front of `postgres-a`
    Pgbouncer,
    /// MySQL
    MysqlA,
    /// A second MySQL
    MysqlB,
    /// The first node of a Galera cluster
    GaleraA,
    /// The second node of that cluster
    GaleraB,
}

impl Server {
    /// Returns the name on the command line, in `servers.toml` and of the folder.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::PostgresA => "postgres-a",
            Self::PostgresB => "postgres-b",
            Self::PostgresPlain => "postgres-plain",
            Self::MariadbA => "mariadb-a",
            Self::MariadbB => "mariadb-b",
            Self::Pgbouncer => "pgbouncer",
            Self::MysqlA => "mysql-a",
            Self::MysqlB => "mysql-b",
            Self::GaleraA => "galera-a",
            Self::GaleraB => "galera-b",
        }
    }

    /// Returns the environment variable with the URL for the tests.
    pub(crate) fn variable(self) -> &'static str {
        match self {
            Self::PostgresA => "DIESEL_BINDS_TEST_POSTGRES_A",
            Self::PostgresB => "DIESEL_BINDS_TEST_POSTGRES_B",
            Self::PostgresPlain => "DIESEL_BINDS_TEST_POSTGRES_PLAIN",
            Self::MariadbA => "DIESEL_BINDS_TEST_MARIADB_A",
            Self::MariadbB => "DIESEL_BINDS_TEST_MARIADB_B",
            Self::Pgbouncer => "DIESEL_BINDS_TEST_PGBOUNCER",
            Self::MysqlA => "DIESEL_BINDS_TEST_MYSQL_A",
            Self::MysqlB => "DIESEL_BINDS_TEST_MYSQL_B",
            Self::GaleraA => "DIESEL_BINDS_TEST_GALERA_A",
            Self::GaleraB => "DIESEL_BINDS_TEST_GALERA_B",
        }
    }

    /// Returns the server behind this one, which is in the same set and before this one.
    pub(crate) fn upstream(self) -> Option<Self> {
        (self == Self::Pgbouncer).then_some(Self::PostgresA)
    }

    /// Returns the other node of the cluster.
    pub(crate) fn peer(self) -> Option<Self> {
        match self {
            Self::GaleraA => Some(Self::GaleraB),
            Self::GaleraB => Some(Self::GaleraA),
            _ => None,
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
