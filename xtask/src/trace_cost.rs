//! `cargo xtask trace-cost`: the cost of spans and events without a subscriber, against a build that has none.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

use anyhow::{Context as _, Result};

use crate::command::{cargo, run};
use crate::test::with_servers;
use crate::workspace;

/// Builds the program with spans and without, and compares them.
pub(crate) fn run_comparison() -> Result<()> {
    let without = build(
        "trace-cost-without",
        &["--features", "tracing/max_level_off"],
    )?;
    let with = build("trace-cost-with", &[])?;
    let file = env::temp_dir().join(format!("trace-cost-{}.db", std::process::id()));
    let compared = with_servers(|servers| {
        let server = &servers["DIESEL_BINDS_TEST_POSTGRES_A"];
        run(Command::new(&with)
            .args([&without, &with])
            .env("TRACE_COST_POSTGRES", server)
            .env("TRACE_COST_SQLITE", &file))
    });
    for end in ["", "-wal", "-shm"] {
        let mut path = file.clone().into_os_string();
        path.push(end);
        // A file that was never created is missing.
        let _ = fs::remove_file(path);
    }
    compared
}

/// Builds the program, and keeps a copy of it under this name.
fn build(name: &str, arguments: &[&str]) -> Result<PathBuf> {
    let mut build = cargo(&["build", "--release", "--package", "trace-cost"]);
    run(build.args(arguments))?;
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace::root().join("target"));
    let (built, kept) = ("release/trace-cost", format!("release/{name}"));
    let kept = target.join(kept);
    fs::copy(target.join(built), &kept).context("cannot keep the program")?;
    Ok(kept)
}
