//! Kinds of servers, and the properties that a server reports of itself.

use std::sync::Arc;

use crate::gid::DatabaseId;
use crate::trace::ServerAttributes;

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

/// The properties that a server reports of itself: read once per bind and process.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// The kind of server, as a value of OpenTelemetry's `db.system.name`.
    pub system: &'static str,
    /// The name of the database.
    pub database: String,
    /// The version, as the server reports it.
    pub version: String,
    /// The schema of the protocol's tables, as a prefix that ends in a dot.
    pub schema: String,
    /// The reason why no transaction can be prepared here, if so.
    pub cannot_prepare: Option<String>,
    /// `true` if the server is a node of a cluster, which rolls a transaction back by itself if one of another node was
    /// first.
    pub is_node: bool,
    /// The further life of `cannot_prepare`.
    pub role: Role,
    /// The number of prepared transactions that the server allows, if it is limited.
    pub prepared_slots: Option<u32>,
    /// The setting because of which confirmed commits may be lost, if any.
    pub not_durable: Option<String>,
    /// The clock of the server when it was asked, in milliseconds since 1970. `None` if the server uses the clock of
    /// this host.
    pub time: Option<i64>,
    /// A text that distinguishes this database from others of its kind, without the tables of the protocol.
    pub fingerprint: Arc<str>,
    /// The lineage of the server (PostgreSQL, MySQL and MariaDB).
    pub lineage: Option<Lineage>,
    /// `true` if the server is behind a pooler with its own names for connections: a request to cancel may hit another
    /// connection.
    pub pooled: bool,
    /// The session settings of a fresh connection of the pool, read from the first one.
    pub session: SessionDefaults,
}

/// How long a server keeps its role: the one that prepares, or the one that cannot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Until it is restarted.
    #[default]
    Fixed,
    /// Until a setting is changed.
    Changeable,
    /// The connection was opened before the setting was changed: later ones can prepare.
    OfOldConnections,
}

/// The session settings of a fresh connection of a pool. The begin of a unit cannot read them, because a query would
/// take the snapshot of the transaction. At the end they may have changed.
#[derive(Clone, Debug, Default)]
pub struct SessionDefaults {
    /// The state that a connection is compared with, or reset to, after statements that may have changed it. `None` if
    /// the server does not report it.
    pub fresh: Option<String>,
    /// `true` if the connections keep no journal, and so cannot roll back (SQLite).
    pub keeps_no_journal: bool,
    /// `true` if the server reports errors in English. The subject of an error is only in its text.
    pub english: bool,
    /// The role (PostgreSQL), `none` if it is that of the user.
    pub role: String,
    /// `true` if the connections have a `lock_timeout` of their own (PostgreSQL).
    pub limits_locks: bool,
    /// `true` if the connections have an `idle_in_transaction_session_timeout` of their own (PostgreSQL).
    pub limits_idling: bool,
}

/// The identity of a server among its copies and promoted standbys. These have the tables of the server that they come
/// from, and so its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lineage {
    /// The start time of the server in microseconds, which no two servers share. `None` if it is not known that
    /// exactly.
    pub started: Option<i64>,
    /// An id that survives a restart and that no other server has. `None` if there is none.
    pub persistent_id: Option<String>,
    /// The part of that id by which a promoted standby is recognized (PostgreSQL).
    pub timeline: Option<Timeline>,
    /// The id of the cluster of which it is a node (Galera). All nodes have the same commits.
    pub cluster: Option<String>,
}

/// The history that a server shares with its copies and standbys, and its place in that history (PostgreSQL).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// The system identifier and the database, which physical copies keep.
    pub origin: String,
    /// The number of the timeline. Each promotion begins a higher one.
    pub number: u32,
}

/// The relation of a server to an earlier one that this process has used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Succession {
    /// Both are one server.
    Same,
    /// The server was promoted after the earlier one.
    Promoted,
    /// The server may have all that the earlier one had: both are nodes of one cluster, or do not report enough.
    Unknown,
    /// The server is another one, for this reason.
    Other(&'static str),
}

impl Lineage {
    /// Returns whether both are one server, as far as that is certain.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.started.is_some() && self.started == other.started)
            || (self.persistent_id.is_some() && self.persistent_id == other.persistent_id)
    }

    /// Returns the relation of this server to an earlier one.
    pub(crate) fn succession(&self, earlier: &Self) -> Succession {
        if self.is_same(earlier) {
            return Succession::Same;
        }
        let is_of_cluster = self.cluster.is_some() && self.cluster == earlier.cluster;
        if is_of_cluster || self.persistent_id.is_none() || earlier.persistent_id.is_none() {
            return Succession::Unknown;
        }
        match (&self.timeline, &earlier.timeline) {
            (Some(now), Some(then)) if now.origin != then.origin => {
                Succession::Other("it has another system identifier, or is another database")
            }
            (Some(now), Some(then)) if now.number > then.number => Succession::Promoted,
            (Some(now), Some(then)) if now.number < then.number => {
                Succession::Other("its timeline is older")
            }
            (Some(_), Some(_)) => Succession::Other("it has the same timeline at another address"),
            _ => Succession::Other("its host name, port, folder or database differs"),
        }
    }
}

/// The durability of confirmed commits, read on the connection of a unit.
#[cfg(any(feature = "mysql", feature = "postgres"))]
#[derive(Clone, Debug, Default, PartialEq, Eq, diesel::QueryableByName)]
pub(crate) struct Durability {
    /// The setting because of which confirmed commits may be lost, if any.
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Text>)]
    pub(crate) not_durable: Option<String>,
    /// `true` if a commit waits for a standby or replica.
    #[diesel(sql_type = diesel::sql_types::Nullable<diesel::sql_types::Bool>)]
    pub(crate) replicated: Option<bool>,
}

/// The identity of a database that was asked: its id, if the tables of the protocol can be read, and its server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DatabaseIdentity {
    /// The id in the tables of the protocol.
    pub(crate) database: Option<DatabaseId>,
    /// The server.
    pub(crate) lineage: Option<Lineage>,
}

impl DatabaseIdentity {
    /// Returns whether both are one database, as far as that is certain.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let is_same_server = match (&self.lineage, &other.lineage) {
            (Some(one), Some(other)) => one.is_same(other),
            (one, other) => one.is_none() && other.is_none(),
        };
        self.database == other.database && is_same_server
    }
}

impl Server {
    /// Returns a server of which nothing is known but its kind.
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

    /// Returns the attributes of the server for spans and metrics of a bind.
    pub(crate) fn attributes(&self, bind: &'static str) -> ServerAttributes<'_> {
        ServerAttributes {
            bind,
            system: self.system,
            database: &self.database,
        }
    }
}
