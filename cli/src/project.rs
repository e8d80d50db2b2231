//! The project of a command: its manifest, its environment, its binds.

use std::env;
use std::path::Path;
use std::time::Duration;

use diesel_binds::backend::Backend;
use diesel_binds::build::BuildProblem;
use diesel_binds::config::ManifestBind;
use diesel_binds::{Binds, Manifest, RecoveryOptions};

use crate::exit::{Refusal, chain};
use crate::redaction::Redaction;

/// A project.
pub(crate) struct Project {
    pub(crate) manifest: Manifest,
}

/// The binds of a project that can be asked, and the problems of the others.
pub(crate) struct Reachable {
    /// The binds; `None` if there is none.
    pub(crate) binds: Option<Binds>,
    pub(crate) problems: Vec<BuildProblem>,
}

/// The URL of a bind, and the redaction of its secrets.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) url: String,
    pub(crate) redaction: Redaction,
}

impl Project {
    /// Reads `.env` and the manifest, and changes to the folder of the manifest. The path of a SQLite file is relative
    /// to that folder, wherever in the project the command was called.
    pub(crate) fn open(manifest: Option<&Path>) -> Result<Self, Refusal> {
        read_env_file()?;
        let read = match manifest {
            Some(file) => Manifest::load(file),
            None => Manifest::find("."),
        };
        let manifest = read.map_err(|error| Refusal::new(chain(&error)))?;
        env::set_current_dir(manifest.folder()).map_err(|error| {
            Refusal::new(format!(
                "cannot go to {}: {error}",
                manifest.folder().display()
            ))
        })?;
        // From here on, this `.env` is the nearest one, also for `diesel`, which would print a line that it cannot
        // read.
        read_env_file()?;
        Ok(Self { manifest })
    }

    /// Returns the URL of the database of a bind, for the Diesel CLI.
    ///
    /// The error describes the problem without the URL.
    pub(crate) fn address(&self, bind: &ManifestBind) -> Result<Address, String> {
        let variable = self.manifest.database_of(bind).variable();
        let variable = variable.unwrap_or_default();
        let url = env::var(variable)
            .map_err(|_| format!("the environment variable `{variable}` is not set"))?;
        // The Diesel CLI takes a URL with an unknown scheme for the path of a SQLite file, and creates that file.
        let fits = match bind.backend() {
            Backend::Postgres => url.starts_with("postgres://") || url.starts_with("postgresql://"),
            Backend::Mysql => url.starts_with("mysql://"),
            _ => {
                let is_path = !url.is_empty() && !url.contains("://");
                is_path || url.starts_with("sqlite://") || url.starts_with("file:")
            }
        };
        if !fits {
            return Err(format!(
                "`{variable}` is not a URL of {}, as the Diesel CLI reads it",
                bind.backend()
            ));
        }
        let redaction = Redaction::of(variable, &url);
        Ok(Address { url, redaction })
    }

    /// Registers every bind that has a usable URL. The others do not keep these from being asked.
    ///
    /// All records of decisions are kept, because only the application determines how long they are needed.
    pub(crate) fn reachable(&self) -> Reachable {
        self.reachable_of(|_| true)
    }

    /// Registers the binds that `wanted` selects; otherwise like [`reachable`](Self::reachable).
    pub(crate) fn reachable_of(&self, wanted: impl Fn(&ManifestBind) -> bool) -> Reachable {
        self.register(wanted, Duration::MAX)
    }

    /// Registers every bind with this retention; otherwise like [`reachable`](Self::reachable).
    pub(crate) fn reachable_keeping(&self, retention: Duration) -> Reachable {
        self.register(|_| true, retention)
    }

    fn register(&self, wanted: impl Fn(&ManifestBind) -> bool, retention: Duration) -> Reachable {
        let mut left: Vec<&str> = self
            .manifest
            .binds()
            .iter()
            .filter(|bind| wanted(bind))
            .map(|bind| bind.key())
            .collect();
        if left.is_empty() {
            return Reachable {
                binds: None,
                problems: Vec::new(),
            };
        }
        let mut problems: Vec<BuildProblem> = Vec::new();
        loop {
            // Without a worker: a command does only the work that was requested.
            let builder = Binds::builder()
                .manifest(&self.manifest)
                .recovery(RecoveryOptions::new().without_worker().retention(retention));
            let builder = left
                .iter()
                .fold(builder, |builder, key| builder.bind_named(key));
            let found = match builder.build() {
                Ok(binds) => {
                    let binds = Some(binds);
                    return Reachable { binds, problems };
                }
                Err(error) => error.problems().to_vec(),
            };
            let before = left.len();
            left.retain(|key| !found.iter().any(|problem| problem.bind() == Some(key)));
            let done = left.len() == before;
            problems.extend(found.into_iter().filter(|problem| {
                *problem != BuildProblem::Empty || self.manifest.binds().is_empty()
            }));
            if done || left.is_empty() {
                let binds = None;
                return Reachable { binds, problems };
            }
        }
    }
}

/// Reads the nearest `.env`, which overrides no variable that is set. The Diesel CLI does the same.
fn read_env_file() -> Result<(), Refusal> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // The error's own message repeats the line.
        Err(dotenvy::Error::LineParse(_, position)) => Err(Refusal::new(format!(
            "a line of `.env` cannot be read, at its character {position}"
        ))),
        Err(_) => Err(Refusal::new("`.env` cannot be read")),
    }
}
