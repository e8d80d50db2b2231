//! Kinds of servers, and what one says of itself.

use std::sync::Arc;

use crate::gid::DatabaseId;
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
    /// When it was asked, by its own clock, in milliseconds since 1970. `None` where that is the host's.
    pub time: Option<i64>,
    /// What tells this database from others of its kind, without our tables.
    pub identity: Arc<str>,
    /// Which server it is, of all that come from one, where it says so (PostgreSQL).
    pub lineage: Option<Lineage>,
    /// A pooler stands before it, which has its own names for connections: a request to cancel may hit another one.
    pub pooled: bool,
    /// What the connections of the pool are like before anybody has used them, as the first of them said.
    pub session: SessionDefaults,
}

/// What connections of a pool are like before anybody has used them. A begin cannot ask for it, because a question takes
/// the snapshot of its transaction, and an end can no longer.
#[derive(Clone, Debug, Default)]
pub struct SessionDefaults {
    /// What a connection is compared with, or set to, after statements that may have left something on it. `None` if the
    /// server cannot tell.
    pub fresh: Option<String>,
    /// They keep no journal, and so cannot roll back (SQLite).
    pub keeps_no_journal: bool,
    /// Whether the server speaks English to them: what an error is about, only its text tells.
    pub english: bool,
    /// The role (PostgreSQL), `none` if it is that of the user.
    pub role: String,
    /// They have a `lock_timeout` of their own (PostgreSQL).
    pub limits_locks: bool,
    /// They have an `idle_in_transaction_session_timeout` of their own (PostgreSQL).
    pub limits_idling: bool,
}

/// Which server it is, of all that come from one: a standby that was promoted and a copy have the tables of the server
/// that they come from, and so its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// When it was started, in microseconds: no two servers were in the same. `None` where it is not known that exactly.
    pub started: Option<i64>,
    /// What is the same when it is started again, and not on another one. `None` where that cannot be told.
    pub mark: Option<String>,
}

impl Lineage {
    /// Whether both are one server, as far as that is certain.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.started.is_some() && self.started == other.started)
            || (self.mark.is_some() && self.mark == other.mark)
    }
}

/// What a server makes of what it confirms, asked on the connection of a unit.
#[cfg(any(feature = "mysql", feature = "postgres"))]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Durability {
    /// The setting that makes a confirmed commit forgettable, if any.
    pub(crate) not_durable: Option<String>,
    /// Whether a commit waits for a standby or replica, where there is such a thing.
    pub(crate) replicated: Option<bool>,
}

/// Whose database was asked: its id, where our tables can be read, and its server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Whose {
    /// The id in the tables of the protocol.
    pub(crate) database: Option<DatabaseId>,
    /// The server.
    pub(crate) lineage: Option<Lineage>,
}

impl Whose {
    /// Whether both are one database, as far as that is certain.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same_server = match (&self.lineage, &other.lineage) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.database == other.database && is_same_server
    }
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
