//! Kinds of servers, and what one says of itself.

use crate::trace::Place;

/// A kind of database server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// PostgreSQL.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// SQLite.
    Sqlite,
}

impl std::fmt::Display for Backend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Postgres => "PostgreSQL",
            Self::Mysql => "MySQL/MariaDB",
            Self::Sqlite => "SQLite",
        })
    }
}

/// What a server said of itself: asked once per bind and process.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// What it is, in the words of OpenTelemetry's `db.system.name`.
    pub system: &'static str,
    /// The name of the database.
    pub database: String,
    /// Its version, as it says it.
    pub version: String,
    /// Where the tables of the protocol are, as a prefix that ends in a dot.
    pub schema: String,
    /// Why no transaction can be prepared here, if so.
    pub cannot_prepare: Option<String>,
    /// How many prepared transactions fit, where that is limited.
    pub prepared_slots: Option<u32>,
    /// The setting that makes a confirmed commit forgettable, if any.
    pub not_durable: Option<String>,
    /// What tells this database from others of its kind, without our tables.
    pub identity: String,
    /// What an operator may want to know.
    pub remarks: Vec<String>,
}

impl Server {
    /// A server that nobody asked.
    pub(crate) fn unasked(backend: Backend) -> Self {
        let system = match backend {
            Backend::Postgres => "postgresql",
            Backend::Mysql => "mysql",
            Backend::Sqlite => "sqlite",
        };
        Self {
            system,
            ..Self::default()
        }
    }

    /// What observers are told of where a bind is.
    pub(crate) fn place(&self, bind: &'static str) -> Place<'_> {
        Place {
            bind,
            system: self.system,
            database: &self.database,
        }
    }
}
