//! The operations of migrations on a connection: a lock that holds for a whole run, and the history of the database.
//!
//! A connection of its own holds the lock, so that it also holds while a migration runs outside of a transaction.

// Files, each of which imports only from those before it: `mysql`, `postgres`, `sqlite`.

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::collections::BTreeMap;
use std::future::Future;

use diesel::migration::CREATE_MIGRATIONS_TABLE;
use diesel::sql_types::Text;
use diesel::{QueryResult, QueryableByName};
use diesel_async::TransactionManager as _;

use crate::backend::Dialect;

/// A connection type on which migrations can run. Sealed, and implemented for all connections that a bind can have.
pub trait Migratable: Dialect {
    /// Returns the file beside the database that serves as its lock, if the server has no locks of its own (SQLite).
    #[doc(hidden)]
    fn lock_file(&mut self) -> impl Future<Output = Result<Option<String>, NoLockFile>> + Send {
        async { Ok(None) }
    }

    /// Tries to take the lock of the database, without waiting. On the connection that will hold it.
    ///
    /// `earlier` are the locks that this run holds already.
    #[doc(hidden)]
    fn try_lock(
        &mut self,
        own: LockId,
        earlier: &[LockId],
    ) -> impl Future<Output = QueryResult<LockAttempt>> + Send;

    /// Returns whether this connection still has the lock that it took. Also keeps the connection alive.
    #[doc(hidden)]
    fn holds_lock(&mut self) -> impl Future<Output = QueryResult<bool>> + Send;

    /// Returns the prepared branches that a long-running migration may be waiting for. On a connection that is in no
    /// transaction.
    #[doc(hidden)]
    fn blocking_branches(&mut self) -> impl Future<Output = QueryResult<Vec<String>>> + Send {
        async { Ok(Vec::new()) }
    }

    /// Returns these branches, on the connection that holds the lock.
    #[doc(hidden)]
    fn blocking_branches_beside_lock(
        &mut self,
    ) -> impl Future<Output = QueryResult<Vec<String>>> + Send {
        self.blocking_branches()
    }

    /// Releases the lock. Closing the connection also releases it, only later.
    #[doc(hidden)]
    fn unlock(&mut self) -> impl Future<Output = QueryResult<()>> + Send;

    /// Returns the migrations that ran in this database. Changes nothing in it.
    #[doc(hidden)]
    fn history(&mut self) -> impl Future<Output = QueryResult<History>> + Send;

    /// Begins the transaction of one migration.
    #[doc(hidden)]
    fn begin_migration(&mut self) -> impl Future<Output = QueryResult<()>> + Send {
        async { Self::TransactionManager::begin_transaction(self).await }
    }
}

/// A number that is locked together with the database, by which a run notices a database that it has locked already.
#[derive(Clone, Copy, Debug)]
pub struct LockId(
    #[cfg_attr(
        not(any(feature = "mysql", feature = "postgres")),
        allow(dead_code, reason = "SQLite locks a file")
    )]
    pub(crate) u64,
);

/// The result of an attempt to lock a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockAttempt {
    /// The lock was taken.
    Locked,
    /// Another run has the lock.
    Busy,
    /// This run has locked the database already, with this one of the earlier locks.
    AlreadyHeld(usize),
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = diesel::sql_types::Bool)]
    answer: bool,
}

/// The reason why there is no place for a lock file.
#[derive(Debug, thiserror::Error)]
pub enum NoLockFile {
    /// The database is in memory, and each connection has one of its own.
    #[error("the database is in memory: no other connection sees the tables of a migration there")]
    InMemory,
    /// The query for the file failed.
    #[error("the database did not say where its file is")]
    Asking(#[from] diesel::result::Error),
}

/// The migrations that ran in a database, by Diesel's table and ours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The versions in Diesel's table, in their order.
    pub applied: Vec<String>,
    /// The bind of a version, if it is in our table.
    pub binds: BTreeMap<String, String>,
}

#[derive(QueryableByName)]
struct VersionRow {
    #[diesel(sql_type = Text)]
    version: String,
}

#[derive(QueryableByName)]
struct BindRow {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = Text)]
    bind: String,
}

/// The name of a table, or of a branch.
#[derive(QueryableByName)]
struct NameRow {
    #[diesel(sql_type = Text)]
    name: String,
}

const DIESELS: &str = "__diesel_schema_migrations";
const OURS: &str = "diesel_binds_migrations";
const VERSIONS: &str = "SELECT version FROM __diesel_schema_migrations ORDER BY version";
const BINDS: &str = "SELECT version, bind FROM diesel_binds_migrations";

/// Returns the statements that create the tables of the history if they are missing: Diesel's own, and ours beside it.
pub(crate) fn create_history() -> [&'static str; 2] {
    [
        CREATE_MIGRATIONS_TABLE,
        "CREATE TABLE IF NOT EXISTS diesel_binds_migrations (\
         version VARCHAR(50) PRIMARY KEY NOT NULL, bind VARCHAR(40) NOT NULL)",
    ]
}

/// Records a migration as applied. The builder makes sure that no version or key needs escaping.
pub(crate) fn record(version: &str, bind: &str) -> [String; 3] {
    [
        format!("INSERT INTO {DIESELS} (version) VALUES ('{version}')"),
        // Left behind by a plain `diesel migration revert`.
        format!("DELETE FROM {OURS} WHERE version = '{version}'"),
        format!("INSERT INTO {OURS} (version, bind) VALUES ('{version}', '{bind}')"),
    ]
}

/// Records the bind of a migration that Diesel applied without this library.
pub(crate) fn adopt(version: &str, bind: &str) -> String {
    format!("INSERT INTO {OURS} (version, bind) VALUES ('{version}', '{bind}')")
}

/// Records a migration as reverted.
pub(crate) fn forget(version: &str) -> [String; 2] {
    [
        format!("DELETE FROM {DIESELS} WHERE version = '{version}'"),
        format!("DELETE FROM {OURS} WHERE version = '{version}'"),
    ]
}

impl History {
    fn new(applied: Vec<VersionRow>, binds: Vec<BindRow>) -> Self {
        Self {
            applied: applied.into_iter().map(|row| row.version).collect(),
            binds: binds
                .into_iter()
                .map(|row| (row.version, row.bind))
                .collect(),
        }
    }
}

fn has(tables: &[NameRow], name: &str) -> bool {
    tables.iter().any(|table| table.name == name)
}
