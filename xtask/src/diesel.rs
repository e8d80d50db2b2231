//! The Diesel CLI for the tests of the command line: built once, and kept in `target/tools`.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, run, run_quietly};
use crate::workspace;

/// The tested version; the newest of its line.
const VERSION: &str = "~2.3";

/// Builds the Diesel CLI unless it is there.
///
/// The build has no optimisation and no debug information. Its own target folder is deleted in the end, because the
/// workspace can reuse none of it.
pub(crate) fn install() -> Result<()> {
    if run_quietly(Command::new(program()).arg("--version")).is_ok() {
        return Ok(());
    }
    let (tools, build) = (tools(), tools().join("build"));
    let mut install = cargo(&["install", "diesel_cli", "--version", VERSION, "--locked"]);
    install
        .args(["--debug", "--no-default-features"])
        .args(["--features", "postgres,mysql,sqlite-bundled"])
        .arg("--root")
        .arg(&tools)
        .arg("--target-dir")
        .arg(&build)
        .env("CARGO_PROFILE_DEV_DEBUG", "false");
    run(&mut install)?;
    // Half a gigabyte that is not needed again.
    Ok(std::fs::remove_dir_all(build)?)
}

fn tools() -> PathBuf {
    workspace::root().join("target").join("tools")
}

fn program() -> PathBuf {
    tools().join("bin").join("diesel")
}
