//! Mistakes in a manifest. Errors never repeat a value of the file, which may be a URL with its password.

use std::fmt;
use std::io;
use std::path::PathBuf;

use diesel_binds_derive::ErrorDebug;

/// An error of reading a manifest.
#[derive(ErrorDebug)]
#[non_exhaustive]
pub enum ManifestError {
    /// The file does not exist.
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// There is no manifest in the folder, nor in any folder above it.
    NotFound {
        /// The folder.
        folder: PathBuf,
    },
    /// The file cannot be read.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file has mistakes.
    Invalid {
        /// The file.
        path: PathBuf,
        /// All mistakes, as far as the file could be read.
        problems: Vec<ManifestProblem>,
    },
}

/// A mistake in a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ManifestProblem {
    /// The line, from 1.
    pub line: usize,
    /// The mistake.
    pub message: String,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { path } => write!(f, "there is no {}", path.display()),
            Self::NotFound { folder } => write!(
                f,
                "there is no {} in {} nor above it: `diesel-binds init` writes one",
                super::Manifest::FILE_NAME,
                folder.display()
            ),
            Self::Unreadable { path, .. } => write!(f, "{} cannot be read", path.display()),
            Self::Invalid { path, problems } => {
                write!(f, "{} is wrong", path.display())?;
                for problem in problems {
                    write!(f, "; {problem}")?;
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for ManifestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl fmt::Display for ManifestProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}
