//! The project that a command is for: its manifest, its environment, its binds.

use std::env;
use std::path::Path;

use diesel_binds::{Binds, BuildProblem, Manifest, RecoveryOptions};

use crate::ending::{Refusal, chain};

/// A project.
pub(crate) struct Project {
    pub(crate) manifest: Manifest,
}

/// The binds of a project that can be asked, and what is wrong with the others.
pub(crate) struct Reachable {
    /// `None` if there is none.
    pub(crate) binds: Option<Binds>,
    pub(crate) problems: Vec<BuildProblem>,
}

impl Project {
    /// Reads `.env` and the manifest, and goes to the folder of the manifest: a SQLite file in a URL is relative to it,
    /// wherever in the project the command was called.
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
        Ok(Self { manifest })
    }

    /// Registers every bind that can be. One whose URL is missing or wrong does not keep the others from being asked.
    pub(crate) fn reachable(&self) -> Reachable {
        let mut left: Vec<&str> = self
            .manifest
            .binds()
            .iter()
            .map(|bind| bind.key())
            .collect();
        let mut problems: Vec<BuildProblem> = Vec::new();
        loop {
            // What a command does not ask for does not happen.
            let builder = Binds::builder()
                .manifest(&self.manifest)
                .recovery(RecoveryOptions::new().elsewhere());
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

/// As the Diesel CLI does: the nearest `.env`, which sets nothing that is set.
fn read_env_file() -> Result<(), Refusal> {
    match dotenvy::dotenv() {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        // What it says of a line repeats the line.
        Err(dotenvy::Error::LineParse(_, position)) => Err(Refusal::new(format!(
            "a line of `.env` cannot be read, at its character {position}"
        ))),
        Err(_) => Err(Refusal::new("`.env` cannot be read")),
    }
}
