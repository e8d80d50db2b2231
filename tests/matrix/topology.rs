//! The combinations of databases.

use std::fmt;
use std::str::FromStr;

/// A combination of databases; each is a tuple of sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topology {
    PostgresPostgres,
    PostgresMariadb,
    PostgresSqlite,
    MariadbSqlite,
    MariadbMariadb,
    AllFour,
    PostgresMysql,
    MysqlSqlite,
    MysqlMysql,
    MysqlMariadb,
    AllFourMysql,
}

impl Topology {
    /// The combinations of the servers that every run of the tests has.
    pub(crate) const ALL: [Self; 6] = [
        Self::PostgresPostgres,
        Self::PostgresMariadb,
        Self::PostgresSqlite,
        Self::MariadbSqlite,
        Self::MariadbMariadb,
        Self::AllFour,
    ];

    /// The combinations with MySQL.
    pub(crate) const OF_MYSQL: [Self; 5] = [
        Self::PostgresMysql,
        Self::MysqlSqlite,
        Self::MysqlMysql,
        Self::MysqlMariadb,
        Self::AllFourMysql,
    ];

    pub(crate) fn every() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().chain(Self::OF_MYSQL)
    }
}

impl fmt::Display for Topology {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::PostgresPostgres => "PG+PG",
            Self::PostgresMariadb => "PG+MariaDB",
            Self::PostgresSqlite => "PG+SQLite",
            Self::MariadbSqlite => "MariaDB+SQLite",
            Self::MariadbMariadb => "MariaDB+MariaDB",
            Self::AllFour => "PG+PG+MariaDB+SQLite",
            Self::PostgresMysql => "PG+MySQL",
            Self::MysqlSqlite => "MySQL+SQLite",
            Self::MysqlMysql => "MySQL+MySQL",
            Self::MysqlMariadb => "MySQL+MariaDB",
            Self::AllFourMysql => "PG+PG+MySQL+SQLite",
        })
    }
}

impl FromStr for Topology {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = |topology: &Self| topology.to_string().eq_ignore_ascii_case(text);
        Self::every().find(named).ok_or_else(|| {
            let names: Vec<String> = Self::every().map(|named| named.to_string()).collect();
            format!("`{text}` is no topology: there are {}", names.join(", "))
        })
    }
}

/// Calls a function that is generic over the sides of a topology.
macro_rules! with_sides {
    ($topology:expr, $($function:ident)::+ ($($argument:expr),* $(,)?)) => {{
        use kit::side::{MariadbA, MariadbB, MysqlA, MysqlB, PostgresA, PostgresB, Sqlite};
        use crate::topology::Topology;
        match $topology {
            Topology::PostgresPostgres => $($function)::+::<(PostgresA, PostgresB)>($($argument),*).await,
            Topology::PostgresMariadb => $($function)::+::<(PostgresA, MariadbA)>($($argument),*).await,
            Topology::PostgresSqlite => $($function)::+::<(PostgresA, Sqlite)>($($argument),*).await,
            Topology::MariadbSqlite => $($function)::+::<(MariadbA, Sqlite)>($($argument),*).await,
            Topology::MariadbMariadb => $($function)::+::<(MariadbA, MariadbB)>($($argument),*).await,
            Topology::AllFour => $($function)::+::<(PostgresA, PostgresB, MariadbA, Sqlite)>($($argument),*).await,
            Topology::PostgresMysql => $($function)::+::<(PostgresA, MysqlA)>($($argument),*).await,
            Topology::MysqlSqlite => $($function)::+::<(MysqlA, Sqlite)>($($argument),*).await,
            Topology::MysqlMysql => $($function)::+::<(MysqlA, MysqlB)>($($argument),*).await,
            Topology::MysqlMariadb => $($function)::+::<(MysqlA, MariadbA)>($($argument),*).await,
            Topology::AllFourMysql => $($function)::+::<(PostgresA, PostgresB, MysqlA, Sqlite)>($($argument),*).await,
        }
    }};
}

pub(crate) use with_sides;
