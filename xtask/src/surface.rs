//! The public surface of the library as text, held against `docs/public-api.txt`.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::command::{cargo, run};
use crate::workspace;

/// The file with the surface, from the top folder of the workspace.
const FILE: &str = "docs/public-api.txt";

/// The variable that makes this program a `rustdoc`. See [`run_as_rustdoc`].
const AS_RUSTDOC: &str = "DIESEL_BINDS_XTASK_AS_RUSTDOC";

#[derive(Args, Default)]
pub(crate) struct Surface {
    /// Write the file instead of comparing with it
    #[arg(long)]
    write: bool,
}

impl Surface {
    /// Compares the public surface, with all features, with what the file says, or writes that.
    pub(crate) fn run(&self) -> Result<()> {
        let file = workspace::root().join(FILE);
        let surface = surface()?;
        if self.write {
            return fs::write(&file, surface).with_context(|| format!("cannot write {FILE}"));
        }
        let written = fs::read_to_string(&file).with_context(|| format!("cannot read {FILE}"))?;
        if surface == written {
            return Ok(());
        }
        let (now, before) = (lines(&surface), lines(&written));
        for gone in before.difference(&now) {
            println!("-{gone}");
        }
        for new in now.difference(&before) {
            println!("+{new}");
        }
        bail!(
            "the public surface is not what {FILE} says; if that is meant, run `cargo xtask surface --write`"
        )
    }
}

/// If cargo runs this program as its rustdoc: runs the real one, with unstable options. They are allowed by a variable that
/// some build scripts look at as well: were it set for cargo, every dependency would be built again.
pub(crate) fn run_as_rustdoc() -> Option<ExitCode> {
    let rustdoc = std::env::var_os(AS_RUSTDOC)?;
    let status = Command::new(rustdoc)
        .args(std::env::args_os().skip(1))
        .env("RUSTC_BOOTSTRAP", "1")
        .status();
    let is_success = status.is_ok_and(|status| status.success());
    Some(ExitCode::from(u8::from(!is_success)))
}

/// One line for each item, sorted. What every type has (blanket, automatic and derived impls) is left out.
fn surface() -> Result<String> {
    let json = rustdoc_json()?;
    let surface = public_api::Builder::from_rustdoc_json(&json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .omit_auto_derived_impls(true)
        .build()
        .with_context(|| {
            format!(
                "cannot read {}: rustdoc of this toolchain writes another format than the crate `public-api` reads; \
                 update one of them",
                json.display()
            )
        })?;
    Ok(surface.to_string())
}

/// Has rustdoc write what it knows of the library. Dependencies are shared with `cargo doc`.
fn rustdoc_json() -> Result<PathBuf> {
    let rustdoc = std::env::var_os("RUSTDOC").unwrap_or_else(|| OsStr::new("rustdoc").to_owned());
    let own = std::env::current_exe().context("the path of this program is unknown")?;
    // Cargo builds both in one target folder, wherever that is: this program is in a folder of it.
    let target = own
        .ancestors()
        .nth(2)
        .context("the target folder is unknown")?;
    let json = target.join("doc/diesel_binds.json");
    run(cargo(&[
        "rustdoc",
        "--package=diesel-binds",
        "--lib",
        "--all-features",
        "--",
        "-Zunstable-options",
        "--output-format=json",
    ])
    .env("RUSTDOC", &own)
    .env(AS_RUSTDOC, rustdoc))?;
    Ok(json)
}

fn lines(surface: &str) -> BTreeSet<&str> {
    surface.lines().collect()
}
