//! Programs from crates.io, built once and kept in `target/tools`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, run, run_quietly};
use crate::workspace;

/// A program from crates.io.
pub(crate) struct Tool {
    package: &'static str,
    version: &'static str,
    program: &'static str,
    features: Option<&'static str>,
}

/// The Diesel CLI for the tests of the command line, in the tested version: the newest of its line.
pub(crate) const DIESEL: Tool = Tool {
    package: "diesel_cli",
    version: "~2.3",
    program: "diesel",
    features: Some("postgres,mysql,sqlite-bundled"),
};

/// Checks dependencies against `deny.toml`.
pub(crate) const DENY: Tool = Tool {
    package: "cargo-deny",
    version: "~0.20",
    program: "cargo-deny",
    features: None,
};

/// Compares the public API with the last published one.
pub(crate) const SEMVER_CHECKS: Tool = Tool {
    package: "cargo-semver-checks",
    version: "~0.51",
    program: "cargo-semver-checks",
    features: None,
};

impl Tool {
    /// Builds the program unless it is there.
    ///
    /// The build has no optimisation and no debug information. Its own target folder is deleted in the end, because the
    /// workspace can reuse none of it.
    pub(crate) fn install(&self) -> Result<()> {
        if run_quietly(self.command().arg("--version")).is_ok() {
            return Ok(());
        }
        let build = folder().join("build");
        let mut install = cargo(&["install", self.package, "--version", self.version]);
        install.args(["--locked", "--debug"]);
        if let Some(features) = self.features {
            install.args(["--no-default-features", "--features", features]);
        }
        install
            .arg("--root")
            .arg(folder())
            .arg("--target-dir")
            .arg(&build)
            .env("CARGO_PROFILE_DEV_DEBUG", "false");
        run(&mut install)?;
        // Half a gigabyte that is not needed again.
        Ok(std::fs::remove_dir_all(build)?)
    }

    /// The program, in the top folder of the workspace.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(folder().join("bin").join(self.program));
        command.current_dir(workspace::root());
        command
    }
}

fn folder() -> PathBuf {
    workspace::root().join("target").join("tools")
}
