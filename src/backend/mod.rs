//! The connections that a bind can have, and the migration of the tables that the commit protocol needs on each server.

// The port to one database server, and an adapter for each: the only place that depends on a dialect.
//
// `dialect` lists the operations on a connection, in a trait for each concern: begin with a marker, prepare, decide,
// finish; a savepoint in an outer transaction; the queries of recovery; a sandbox. `observe` makes spans of its
// statements. `sql` and `records` hold the SQL that all backends share; `postgres`, `mysql` and `sqlite` hold the
// differences. Every call to an API that Diesel hides from its documentation is in `internals`.
//
// The adapters have the same files. `unit`, `outer`, `recovery` and `sandbox` each implement the trait of that name,
// and `mod.rs` implements `Dialect`. `begin` and `probe` have the statements before the end of the transaction of a
// unit; `clean` makes the connection fit for others. `inspect` reads the properties of a server. `tables` checks that
// the tables of the protocol are safe for commits; `identify` reads them in one query, and SQLite's `identity` in a
// prepared one. `kept` decides which writes of the application stay prepared. `prepared` finds and finishes branches,
// `retry` asks the server whether an error is a conflict.
//
// Files, each of which imports only from those before it: `listed_branch`, `server`, `protocol_migration`, `settings`,
// `stale`, `message`, `terms`, `internals`, `kept`, `observe`, `open`, `sandbox`, `sql`, `tables`, `identify`, `record`,
// `dialect`, `migrate`, `records`, `mysql`, `postgres`, `sqlite`.

mod dialect;
#[cfg(any(feature = "mysql", feature = "postgres"))]
mod identify;
pub(crate) mod internals;
mod kept;
mod listed_branch;
mod message;
#[cfg(feature = "migrations")]
pub(crate) mod migrate;
mod observe;
mod open;
mod protocol_migration;
mod record;
pub(crate) mod records;
#[cfg(feature = "testing")]
mod sandbox;
mod server;
pub(crate) mod settings;
mod sql;
mod stale;
mod tables;
mod terms;

#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;

pub use self::dialect::Connection;
#[cfg(feature = "testing")]
pub(crate) use self::dialect::SandboxDialect;
pub(crate) use self::dialect::{Dialect, InsertRows, OuterDialect, RecoveryDialect, UnitDialect};
pub(crate) use self::kept::{Kept, KeptWrites};
pub(crate) use self::listed_branch::{ListedBranch, Reach};
#[cfg(feature = "testing")]
pub(crate) use self::observe::log;
pub(crate) use self::observe::{observe, watch};
pub(crate) use self::open::Open;
pub use self::protocol_migration::ProtocolMigration;
pub(crate) use self::record::{Clock, Record, RecordRow};
#[cfg(feature = "testing")]
pub(crate) use self::sandbox::{Enclosed, NotEnclosed, PrivateCopy, Reopen};
pub use self::server::Backend;
#[cfg(any(feature = "mysql", feature = "postgres"))]
pub(crate) use self::server::Durability;
pub(crate) use self::server::{
    DatabaseIdentity, Lineage, Role, Server, SessionDefaults, Succession,
};
pub(crate) use self::settings::{Isolation, Settings, Unsupported};
pub(crate) use self::sql::fence_row;
pub(crate) use self::stale::Staleness;
pub(crate) use self::tables::is_of_our_tables;
pub(crate) use self::terms::{
    Attached, LoneCommitFault, PriorState, SavepointStep, Terms, TransactionId, TransactionState,
    Unseen,
};
