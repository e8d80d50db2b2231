//! One Diesel session over several databases: each query finds its database by its type, and one commit covers all of
//! them.
#![doc = ""]
#![doc = include_str!("../README.md")]
#![warn(missing_docs)]
// Without the feature of a backend there are no connections, and without that of a pool no pools. Most items are then
// unused.
#![cfg_attr(
    not(all(
        any(feature = "postgres", feature = "mysql", feature = "sqlite"),
        any(feature = "deadpool", feature = "bb8")
    )),
    allow(dead_code, unused_imports, unused_macros)
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

// The code of the derives names this crate by its external path, also in the crate's own examples and tests.
extern crate self as diesel_binds;

mod backend;
mod bind;
mod commit;
mod config;
mod error;
mod gid;
#[cfg(feature = "migrations")]
mod migrate;
mod pool;
mod recovery;
mod registry;
mod scope;
mod session;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
#[cfg(feature = "tower")]
pub mod web;

pub use diesel_binds_derive::{Bind, Bound, bind_schema, bind_tables};

#[cfg(feature = "migrations")]
pub use crate::backend::migrate::Migratable;
#[cfg(feature = "sqlite")]
pub use crate::backend::sqlite::{AsyncSqliteConnection, ConnectionThread};
pub use crate::backend::{Backend, Connection, Isolation, ProtocolMigration};
pub use crate::bind::{Bind, Bound};
pub use crate::commit::{CommitError, Committed, Ending, Fault, HookFailure, Outcome, Partial};
pub use crate::config::{BindOptions, HolderPreference, PoolOptions, RecoveryOptions, UrlProblem};
#[cfg(feature = "manifest")]
pub use crate::config::{
    Manifest, ManifestBind, ManifestError, ManifestNeed, ManifestPlace, ManifestProblem,
};
pub use crate::error::{AbortReason, BoxError, Error, OptionalExt, PoolError, Waiting};
pub use crate::gid::{DatabaseId, Gid, InvalidGid, UnitId};
#[cfg(feature = "migrations")]
pub use crate::migrate::{
    BindMigrations, ListedMigration, Migrated, MigrationError, MigrationId, MigrationMistake,
    MigrationProblem, MigrationReport, MigrationState, MigrationStatus, MigrationStep, Migrations,
};
pub use crate::pool::{FromUrl, IntoPool};
pub use crate::recovery::{
    ForceError, ForceOptions, InDoubtBranch, Left, Recovered, RecoveryError, RecoveryReport,
};
pub use crate::registry::{
    BindReport, Binds, BindsBuilder, BuildError, BuildProblem, Finding, IntoSource, Recovery,
    Report, Severity, Source,
};
pub use crate::scope::{Scope, ScopeGuard, ScopeOn, current};
pub use crate::session::{
    BoundConnection, Execute, HookOutput, Load, On, OuterConnection, Propagation, Retried, Retry,
    Retrying, RunQueryDsl, SaveChangesDsl, Session, SessionOptions, Target, Work, WorkOnce,
};
pub use crate::trace::StatementSpans;

/// Items for the code of the derives. Not for direct use.
#[doc(hidden)]
pub mod __private {
    pub use crate::bind::Access;
    pub use crate::config::{SqlitePlace, sqlite_place};
}
