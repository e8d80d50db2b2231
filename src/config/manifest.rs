//! The manifest of the binds of a project, with the URL variable, the migrations and the schema file of each.

// Files, each of which imports only from those before it: `problem`, `parse`.

mod parse;
mod problem;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use crate::backend::Backend;

pub use self::problem::{ManifestError, ManifestProblem};

/// The binds of a project, as the file `diesel-binds.toml` beside its `Cargo.toml` lists them.
///
/// The file is for programs without the types of the binds: the command line, and a process that only recovers. It is
/// not a `diesel.toml`, which describes one database and refuses unknown keys.
///
/// ```toml
/// namespace = "shop"
///
/// [bind.accounts]
/// backend = "postgres" # or "mysql" (MariaDB too), or "sqlite"
///
/// [bind.ledger]
/// backend = "mysql"
/// needs = { accounts = "2026-11-21-090000" } # a migration of `accounts` that must be applied before any of `ledger`
/// # The defaults:
/// url_env = "LEDGER_DATABASE_URL" # the environment variable; a URL itself has no place in this file
/// migrations = "migrations/ledger"
/// schema = "src/schema/ledger.rs"
///
/// [bind.audit]
/// backend = "mysql"
/// shared_with = "ledger" # in the database of that bind; or, for a SQLite file, `attach_to`
/// ```
///
/// Paths are relative to the folder of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    file: PathBuf,
    namespace: String,
    binds: Vec<ManifestBind>,
}

/// A bind of a [`Manifest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestBind {
    key: String,
    backend: Backend,
    variable: Option<String>,
    migrations: PathBuf,
    schema: PathBuf,
    needs: Vec<ManifestNeed>,
    place: ManifestPlace,
}

/// The place of the tables of a bind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ManifestPlace {
    /// A database of its own.
    Own,
    /// The database of another bind: they share a connection, and the table that records applied migrations.
    SharedWith(String),
    /// A SQLite file of its own that is attached to the connection of another bind.
    AttachedTo(String),
}

/// A migration of another bind that must be applied before any migration of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestNeed {
    bind: String,
    version: String,
}

impl Manifest {
    /// The name of the file.
    pub const FILE_NAME: &str = "diesel-binds.toml";

    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// [`ManifestError`] if the file is missing, cannot be read or is invalid. In the last case, the error has every
    /// mistake with its line. An invalid file is never treated as an empty one.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ManifestError> {
        let path = path.as_ref();
        let file = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let text = std::fs::read_to_string(&file).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ManifestError::Missing { path: file.clone() },
            _ => ManifestError::Unreadable {
                path: file.clone(),
                source,
            },
        })?;
        Self::parse(&text, file)
    }

    /// Finds the manifest of the project that a folder belongs to, and reads it: there, or in the nearest folder above.
    ///
    /// # Errors
    ///
    /// The errors of [`load`](Self::load); [`ManifestError::NotFound`] if there is none.
    pub fn find(folder: impl AsRef<Path>) -> Result<Self, ManifestError> {
        let folder = folder.as_ref();
        let start = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let found = start
            .ancestors()
            .map(|folder| folder.join(Self::FILE_NAME))
            .find(|file| file.exists());
        match found {
            Some(file) => Self::load(file),
            None => Err(ManifestError::NotFound { folder: start }),
        }
    }

    /// Reads the text of a manifest, as if it came from `file`. Reads no file.
    ///
    /// # Errors
    ///
    /// [`ManifestError::Invalid`] with every mistake in the text, each with its line.
    pub fn parse(text: &str, file: impl Into<PathBuf>) -> Result<Self, ManifestError> {
        parse::parse(text, file.into())
    }

    /// Returns the file that the manifest was read from.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Returns the folder of the file: its paths are relative to it.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new(""))
    }

    /// Returns the name of the application. See [`BindsBuilder::namespace`](crate::BindsBuilder::namespace).
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// Returns the binds, in the order of the file.
    #[must_use]
    pub fn binds(&self) -> &[ManifestBind] {
        &self.binds
    }

    /// Returns the bind with this key.
    #[must_use]
    pub fn bind(&self, key: &str) -> Option<&ManifestBind> {
        self.binds.iter().find(|bind| bind.key == key)
    }

    /// Returns the bind whose URL leads to the database of `bind`: `bind` itself, unless it is in the database of
    /// another bind.
    #[must_use]
    pub fn database_of<'a>(&'a self, bind: &'a ManifestBind) -> &'a ManifestBind {
        match &bind.place {
            ManifestPlace::SharedWith(with) => self.bind(with).unwrap_or(bind),
            ManifestPlace::Own | ManifestPlace::AttachedTo(_) => bind,
        }
    }
}

impl ManifestBind {
    /// Returns the key of the bind.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the kind of server.
    #[must_use]
    pub fn backend(&self) -> Backend {
        self.backend
    }

    /// Returns the environment variable with the URL; `None` for a bind in the database of another.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        self.variable.as_deref()
    }

    /// Returns the folder of the migrations.
    #[must_use]
    pub fn migrations(&self) -> &Path {
        &self.migrations
    }

    /// Returns the file that `diesel print-schema` writes.
    #[must_use]
    pub fn schema(&self) -> &Path {
        &self.schema
    }

    /// Returns the migrations of other binds that must be applied before any migration of this one.
    #[must_use]
    pub fn needs(&self) -> &[ManifestNeed] {
        &self.needs
    }

    /// Returns the place of the tables of the bind.
    #[must_use]
    pub fn place(&self) -> &ManifestPlace {
        &self.place
    }
}

impl ManifestNeed {
    /// Returns the key of the other bind.
    #[must_use]
    pub fn bind(&self) -> &str {
        &self.bind
    }

    /// Returns the version, as Diesel records it: without hyphens.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Returns whether the migration is among those that are applied on the other bind. A later one does not replace
    /// it: of two branches, the later may have been merged first.
    #[must_use]
    pub fn is_met_by<'a>(&self, applied: impl IntoIterator<Item = &'a str>) -> bool {
        applied.into_iter().any(|version| version == self.version)
    }
}
