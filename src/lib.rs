//! One Diesel session over several databases: each query finds its database by its type, and one commit covers all of
//! them.
#![doc = ""]
// Where the links of the README lead here. Markdown takes the first definition of a label, so they go before its own.
#![doc = include_str!("guide/links.md")]
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

pub mod backend;
mod bind;
mod commit;
pub mod config;
pub mod error;
mod gid;
#[cfg(all(doc, not(doctest)))]
pub mod guide;
#[cfg(feature = "migrations")]
mod migrate;
mod pool;
pub mod recovery;
mod registry;
mod scope;
mod session;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;
pub mod trace;
#[cfg(feature = "tower")]
pub mod web;

// The root has the names that most programs write. Everything else is in the module that serves it, and nothing is in two places.

pub use diesel_binds_derive::{Bind, Bound, bind_schema, bind_tables};

pub use crate::backend::settings::Isolation;
#[cfg(feature = "sqlite")]
pub use crate::backend::sqlite::AsyncSqliteConnection;
pub use crate::bind::{Bind, Bound};
pub use crate::commit::{Commit, CommitError, Committed, Released};
pub use crate::config::bind::BindOptions;
#[cfg(feature = "manifest")]
pub use crate::config::manifest::Manifest;
pub use crate::config::pool::PoolOptions;
pub use crate::config::recovery::RecoveryOptions;
pub use crate::error::error::{Error, OptionalExt};
pub use crate::error::pool::BoxError;
pub use crate::gid::{Gid, UnitId};
#[cfg(feature = "migrations")]
pub use crate::migrate::Migrations;
pub use crate::registry::{Binds, BindsBuilder, BuildError, Recovery, Source};
pub use crate::scope::{Scope, ScopeGuard, current};
pub use crate::session::{
    OuterConnection, Propagation, Retry, RunQueryDsl, SaveChangesDsl, Session, SessionOptions,
};

/// Arguments and mistakes of [`Binds::builder`]: the sources and pools of a bind, and the problems in a
/// [`BuildError`].
pub mod build {
    pub use crate::pool::{FromUrl, IntoPool};
    pub use crate::registry::{BuildProblem, IntoSource};
}

/// The report of [`Binds::check`]: the findings about each bind, and their severity.
pub mod check {
    pub use crate::registry::{BindPing, BindReport, Finding, PingReport, Report, Severity};
}

/// Types of hooks: their results, and the failures of hooks after a commit.
pub mod hooks {
    pub use crate::commit::HookFailure;
    pub use crate::session::HookOutput;
}

/// Types of [`Migrations`]: their sources, reports and errors.
#[cfg(feature = "migrations")]
pub mod migrations {
    pub use crate::backend::migrate::Migratable;
    pub use crate::migrate::{
        BindMigrations, ListedMigration, Migrated, MigrationError, MigrationId, MigrationMistake,
        MigrationProblem, MigrationReport, MigrationState, MigrationStatus, MigrationStep,
    };
}

/// Targets of queries beside a [`Session`], and the traits that connect a query with its target.
pub mod query {
    pub use crate::scope::ScopeOn;
    pub use crate::session::{BoundConnection, Execute, Load, On, Target};
}

/// The thread that an [`AsyncSqliteConnection`] runs on.
#[cfg(feature = "sqlite")]
pub mod sqlite {
    pub use crate::backend::sqlite::ConnectionThread;
}

/// Handles that begin and repeat units, [`Binds::with`] and [`Binds::retrying`], and the closures that they run.
pub mod units {
    pub use crate::session::{Retried, Retrying, Units, Work, WorkOnce};
}

/// Items for the code of the derives, and for the command line. Not for direct use.
#[doc(hidden)]
pub mod __private {
    #[cfg(feature = "migrations")]
    pub use crate::backend::migrate::History;
    pub use crate::bind::Access;
    pub use crate::config::sqlite::{SqlitePlace, sqlite_place};
    pub use crate::config::url::mysql_requires_tls;
    #[cfg(feature = "migrations")]
    pub use crate::migrate::{Owner, version_of};
    pub use crate::pool::open;
}
