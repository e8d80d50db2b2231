//! Mistakes in the definition of a registry.

use std::fmt;

use diesel_binds_derive::ErrorDebug;

use crate::backend::Backend;
use crate::config::UrlProblem;
use crate::gid::{MAX_KEY, MAX_NAMESPACE};

/// All mistakes in the definition of a registry.
#[derive(ErrorDebug)]
pub struct BuildError {
    pub(super) problems: Vec<BuildProblem>,
}

/// A mistake in the definition of a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildProblem {
    /// No bind is registered.
    #[error("no bind is registered")]
    Empty,
    /// A key has a character or a length that a global transaction id cannot hold.
    #[error("the key `{key}` is not of [a-z0-9_-] and 1 to {MAX_KEY} bytes")]
    InvalidKey {
        /// The key.
        key: String,
    },
    /// Two binds have the same key, or one was given twice.
    #[error("the key `{key}` is registered twice")]
    RepeatedKey {
        /// The key.
        key: &'static str,
    },
    /// A file cannot be attached under this key, because SQLite reserves the name.
    #[error("the key `{key}` cannot be that of an attached file: SQLite names others so")]
    ReservedKey {
        /// The key.
        key: &'static str,
    },
    /// A bind shares the connection of a bind that is not registered with a pool of its own.
    #[error(
        "`{bind}` shares the connection of `{with}`, which is not registered with a pool of its own"
    )]
    UnknownKey {
        /// The bind.
        bind: &'static str,
        /// The bind whose connection is shared.
        with: &'static str,
    },
    /// A hook was given for a bind that is not registered.
    #[error("a hook was given for `{bind}`, which is not registered")]
    UnknownHook {
        /// The bind.
        bind: &'static str,
    },
    /// The backend of a bind does not support an option.
    #[error("`{option}` cannot hold on `{bind}`: {reason}")]
    Unsupported {
        /// The bind.
        bind: &'static str,
        /// The option.
        option: &'static str,
        /// The reason.
        reason: &'static str,
    },
    /// The URL of a bind is invalid.
    #[error("the URL of `{bind}` is not valid: {problem}")]
    Url {
        /// The bind.
        bind: &'static str,
        /// The reason.
        problem: UrlProblem,
    },
    /// The variable with the URL of a bind is not set.
    #[error("`{bind}` has no pool: the environment variable `{variable}` is not set")]
    NoUrl {
        /// The bind.
        bind: &'static str,
        /// The variable.
        variable: String,
    },
    /// No namespace is set, although several binds may commit as one or a bind records every commit. The names of
    /// prepared transactions and the records contain the namespace.
    #[error(
        "several binds may commit as one, or one records its commits, so these need the name of the application: \
         `.namespace(\"…\")`"
    )]
    NoNamespace,
    /// The namespace has a character or a length that a global transaction id cannot hold.
    #[error("the namespace `{namespace}` is not of [a-z0-9_-] and 1 to {MAX_NAMESPACE} bytes")]
    InvalidNamespace {
        /// The namespace.
        namespace: String,
    },
    /// A bind is not in the manifest, or there is no manifest.
    #[error("`{bind}` is not in the manifest")]
    NotInManifest {
        /// The bind.
        bind: String,
    },
    /// The manifest has another backend for a bind than its type.
    #[error("`{bind}` is of {backend}, and of {manifest} in the manifest")]
    OtherBackend {
        /// The bind.
        bind: &'static str,
        /// The backend in the manifest.
        manifest: Backend,
        /// The backend of its connection.
        backend: Backend,
    },
    /// The manifest has a bind in another place than its source.
    #[error("`{bind}` has another place in the manifest: {}", source_of(place))]
    #[cfg(feature = "manifest")]
    OtherPlace {
        /// The bind.
        bind: &'static str,
        /// The place in the manifest.
        place: crate::config::ManifestPlace,
    },
    /// A method was called on a source on which it has no effect: a ready pool, or the connection of another bind.
    #[error(
        "`Source::{option}` has no effect on the source of `{bind}`: leave it out, or set it where the connection is made"
    )]
    WithoutEffect {
        /// The bind.
        bind: &'static str,
        /// The method of [`Source`](crate::Source).
        option: &'static str,
    },
    /// This program was built without the backend of a bind.
    #[error("`{bind}` is of {backend}, for which this program was not built")]
    NoBackend {
        /// The bind.
        bind: &'static str,
        /// The backend.
        backend: Backend,
    },
    /// Two binds would read their URL from one variable, for example `a-b` and `a_b`. Both would then use one database.
    /// Binds that are meant to share one use [`Source::shared_with`](crate::Source::shared_with).
    #[error(
        "`{bind}` and `{with}` would both read their URL from `{variable}`: give one another key, or its URL by `Source::url` or `Source::env_var`"
    )]
    SharedVariable {
        /// The bind.
        bind: &'static str,
        /// The other bind.
        with: &'static str,
        /// The environment variable.
        variable: String,
    },
    /// A timeout is zero, which a server treats as no limit.
    #[error("`{option}` is 0, which is no limit to a server")]
    NoLimit {
        /// The method of the builder.
        option: &'static str,
    },
    /// This program was built without a pool.
    #[error(
        "`{bind}` has no pool, because this program was built without one: turn on the feature `deadpool` or `bb8` of \
         diesel-binds"
    )]
    NoPool {
        /// The bind.
        bind: &'static str,
    },
    /// The migrations of a bind have a mistake.
    #[cfg(feature = "migrations")]
    #[error("the migrations of `{bind}` are not valid: {mistake}")]
    Migrations {
        /// The bind.
        bind: &'static str,
        /// The mistake.
        mistake: crate::migrate::MigrationMistake,
    },
    /// A bind that cannot prepare is set to avoid being the holder.
    #[error(
        "`{bind}` cannot prepare, so it must be the holder where it writes: `HolderPreference::Avoid` cannot hold"
    )]
    CannotAvoid {
        /// The bind.
        bind: &'static str,
    },
}

/// Describes the source that fits this place.
#[cfg(feature = "manifest")]
fn source_of(place: &crate::config::ManifestPlace) -> String {
    use crate::config::ManifestPlace;

    match place {
        ManifestPlace::Own => "a database of its own, `Source::env()`".into(),
        ManifestPlace::SharedWith(with) => {
            format!("the database of `{with}`, `Source::shared_with(..)`")
        }
        ManifestPlace::AttachedTo(to) => {
            format!("a file attached to `{to}`, `Source::env().attach_to(..)`")
        }
    }
}

impl BuildProblem {
    /// Returns the key of the bind with the mistake, if there is one.
    #[must_use]
    pub fn bind(&self) -> Option<&str> {
        match self {
            Self::InvalidKey { key } => Some(key),
            Self::RepeatedKey { key } | Self::ReservedKey { key } => Some(key),
            Self::NotInManifest { bind } => Some(bind),
            Self::UnknownKey { bind, .. }
            | Self::Url { bind, .. }
            | Self::NoUrl { bind, .. }
            | Self::SharedVariable { bind, .. }
            | Self::OtherBackend { bind, .. }
            | Self::WithoutEffect { bind, .. }
            | Self::NoBackend { bind, .. }
            | Self::NoPool { bind }
            | Self::Unsupported { bind, .. }
            | Self::UnknownHook { bind }
            | Self::CannotAvoid { bind } => Some(bind),
            #[cfg(feature = "manifest")]
            Self::OtherPlace { bind, .. } => Some(bind),
            #[cfg(feature = "migrations")]
            Self::Migrations { bind, .. } => Some(bind),
            Self::Empty
            | Self::NoNamespace
            | Self::InvalidNamespace { .. }
            | Self::NoLimit { .. } => None,
        }
    }
}

impl BuildError {
    /// Returns all mistakes.
    #[must_use]
    pub fn problems(&self) -> &[BuildProblem] {
        &self.problems
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the binds cannot be built")?;
        for problem in &self.problems {
            write!(f, "; {problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildError {}
