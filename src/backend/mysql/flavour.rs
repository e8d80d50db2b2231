//! The flavour of a server, MySQL or MariaDB: the only place that reads its version.

use diesel::{QueryResult, define_sql_function, select};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl as _};

use crate::backend::Terms;

define_sql_function! {
    /// The version of the server.
    fn version() -> Text;
}

/// A kind of server that has the protocol of MySQL. They differ in their transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// A branch belongs to its connection until that is gone.
    MariaDb,
    /// MySQL, and servers that say nothing of MariaDB. A prepared branch belongs to no connection.
    MySql,
}

impl Flavour {
    /// Returns the flavour of a server by its version, in which MariaDB names itself.
    pub(super) fn of_version(version: &str) -> Self {
        match version.contains("MariaDB") {
            true => Self::MariaDb,
            false => Self::MySql,
        }
    }

    /// Returns the name of the kind, as a value of OpenTelemetry's `db.system.name`.
    pub(super) fn system(self) -> &'static str {
        match self {
            Self::MariaDb => "mariadb",
            Self::MySql => "mysql",
        }
    }

    /// Asks the server of a connection. For recovery, whose connections may lead to another server than those of the
    /// units did.
    pub(super) async fn ask(connection: &mut AsyncMysqlConnection) -> QueryResult<Self> {
        let version: String = select(version()).get_result(connection).await?;
        Ok(Self::of_version(&version))
    }

    /// Returns the flavour of the server of a unit.
    pub(super) fn of(terms: &Terms) -> Self {
        match terms.server.system == Self::MariaDb.system() {
            true => Self::MariaDb,
            false => Self::MySql,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mariadb_names_itself() {
        for (version, flavour) in [
            ("10.11.19-MariaDB-0+deb12u1-log", Flavour::MariaDb),
            ("11.8.9-MariaDB", Flavour::MariaDb),
            ("9.7.4", Flavour::MySql),
            ("8.0.11-TiDB-v8.5.0", Flavour::MySql),
        ] {
            assert_eq!(Flavour::of_version(version), flavour, "{version}");
        }
    }
}
