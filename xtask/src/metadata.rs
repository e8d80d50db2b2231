//! The packages of the workspace and their dependencies, as `cargo metadata` lists them.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command::{cargo, run_quietly};

/// The published packages, each before those that depend on it.
pub(crate) const PUBLISHED: [&str; 3] = ["diesel-binds-derive", "diesel-binds", "diesel-binds-cli"];

#[derive(Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) target_directory: PathBuf,
}

#[derive(Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<PathBuf>,
    pub(crate) keywords: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) rust_version: Option<String>,
}

impl Metadata {
    pub(crate) fn read() -> Result<Self> {
        let printed = run_quietly(&mut cargo(&["metadata", "--format-version=1"]))?;
        serde_json::from_str(&printed).context("cannot read the output of `cargo metadata`")
    }

    pub(crate) fn package(&self, name: &str) -> Result<&Package> {
        let found = self.packages.iter().find(|package| package.name == name);
        found.with_context(|| format!("there is no package {name}"))
    }
}

impl Package {
    /// Returns the oldest compiler for this package: major and minor number.
    pub(crate) fn compiler(&self) -> Option<(u32, u32)> {
        let mut numbers = self.rust_version.as_ref()?.split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}
