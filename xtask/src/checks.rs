//! The checks that need no server: formatting, lints, documentation, the feature matrix, dependencies.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::command::{cargo, run, run_quietly};
use crate::links;
use crate::metadata::{Metadata, PUBLISHED};
use crate::tools;
use crate::workspace;

/// Every set of features with which the library has to build by itself.
const FEATURE_SETS: &[&str] = &[
    "",
    "manifest",
    "manifest,postgres,bb8",
    "deadpool",
    "bb8",
    "postgres",
    "postgres,deadpool",
    "postgres,bb8",
    "mysql",
    "mysql,deadpool",
    "mysql,bb8",
    "sqlite-bundled",
    "sqlite-bundled,deadpool",
    "sqlite-bundled,bb8",
    "postgres,mysql,sqlite-bundled,deadpool,bb8",
    "migrations",
    "postgres,migrations",
    "mysql,deadpool,migrations",
    "sqlite-bundled,bb8,migrations",
    "tower",
    "sqlite-bundled,deadpool,axum",
    "testing",
    "metrics",
    "tls",
    "postgres,deadpool,tls",
    "mysql,bb8,tls",
    "sqlite-bundled,bb8,metrics",
    "postgres,deadpool,testing",
    "sqlite-bundled,bb8,testing",
    "postgres,mysql,sqlite-bundled,deadpool,bb8,testing,axum",
];

/// The sets of the command line, which needs a backend.
const COMMAND_LINE_FEATURE_SETS: &[&str] = &["postgres", "mysql", "sqlite-bundled"];

/// Checks the formatting and runs clippy. `incompatible_msrv` checks the code against the `rust-version` of
/// `Cargo.toml`.
pub(crate) fn lint() -> Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    dependencies_build_with_our_compiler()?;
    run(&mut cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "--deny=warnings",
        "--deny=clippy::incompatible_msrv",
    ]))
}

/// Refuses dependencies whose own `rust-version` is newer than that of the workspace.
fn dependencies_build_with_our_compiler() -> Result<()> {
    let metadata = Metadata::read()?;
    let ours = metadata.package("diesel-binds")?.compiler();
    let newer: Vec<String> = metadata
        .packages
        .iter()
        .filter(|package| package.compiler() > ours)
        .map(|package| {
            format!(
                "{} {} needs {:?}",
                package.name, package.version, package.rust_version
            )
        })
        .collect();
    if ours.is_none() || !newer.is_empty() {
        bail!(
            "newer than `rust-version` ({ours:?}):\n{}",
            newer.join("\n")
        );
    }
    Ok(())
}

/// Builds the documentation as docs.rs does, and follows its links.
pub(crate) fn docs() -> Result<()> {
    run(
        cargo(&["doc", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "--deny=warnings"),
    )?;
    links::follow()
}

/// Checks the dependencies against `deny.toml`. The advisories come last, because they need a database on the network.
pub(crate) fn deny() -> Result<()> {
    tools::DENY.install()?;
    let checks: [&[&str]; 2] = [&["licenses", "bans", "sources"], &["advisories"]];
    for checks in checks {
        run(tools::DENY
            .command()
            .args(["--workspace", "check"])
            .args(checks))?;
    }
    Ok(())
}

/// Compares the API with the last published version.
pub(crate) fn semver() -> Result<()> {
    tools::SEMVER_CHECKS.install()?;
    // The command line has no API.
    for name in PUBLISHED.iter().filter(|name| !name.ends_with("-cli")) {
        let mut check = tools::SEMVER_CHECKS.command();
        run(check.args(["semver-checks", "--all-features", "--package", name]))?;
    }
    Ok(())
}

/// Checks the library and the command line with each set of features.
pub(crate) fn features() -> Result<()> {
    for features in FEATURE_SETS {
        check("diesel-binds", "--lib", features)?;
    }
    for features in COMMAND_LINE_FEATURE_SETS {
        check("diesel-binds-cli", "--bins", features)?;
    }
    faults_are_left_out()?;
    a_missing_pool_is_named()
}

/// Checks one package with one set of features. Runs clippy in place of `cargo check`, because clippy denies warnings
/// in this workspace only. `RUSTFLAGS` would rebuild every dependency.
fn check(package: &str, targets: &str, features: &str) -> Result<()> {
    run(&mut cargo(&[
        "clippy",
        "--package",
        package,
        targets,
        "--no-default-features",
        "--features",
        features,
        "--",
        "--deny=warnings",
    ]))
}

/// Checks that the code of a released application cannot fail on purpose: without `testing`, the library has no point
/// for faults.
fn faults_are_left_out() -> Result<()> {
    let mut build = cargo(&[
        "build",
        "--package=diesel-binds",
        "--lib",
        "--no-default-features",
        "--features=sqlite-bundled,deadpool",
        "--message-format=json",
    ]);
    eprintln!("$ cargo build --lib, to look for faults of the feature `testing` in it");
    let messages = run_quietly(&mut build)?;
    let library = messages
        .split('"')
        .find(|part| part.ends_with("libdiesel_binds.rlib"))
        .context("cargo does not say where the library is")?;
    let code = fs::read(library).with_context(|| format!("cannot read {library}"))?;
    let has = |words: &str| {
        code.windows(words.len())
            .any(|part| part == words.as_bytes())
    };
    // Every library has this text. Otherwise the search below would find nothing in any library.
    if !has("the server refused to commit the transaction") {
        bail!("the texts of errors are not found in {library}: this check sees nothing");
    }
    // The texts of the code that executes the faults. The names of disabled items are in every library, for the
    // messages of the compiler.
    for words in [
        "the test plan cut the connection",
        "the process could not kill itself",
    ] {
        if has(words) {
            bail!("{library} has `{words}` in it, without the feature `testing`");
        }
    }
    Ok(())
}

/// Checks that without the feature of a pool, the compiler names that feature, and does not report that `Source::url`
/// is missing.
fn a_missing_pool_is_named() -> Result<()> {
    let mut check = cargo(&[
        "check",
        "--package=diesel-binds",
        "--lib",
        "--no-default-features",
        "--features=sqlite-bundled",
        "--message-format=json",
    ]);
    let program = "tests/without_pool/source_url.rs";
    eprintln!("$ rustc {program}, to look for the features of pools in what it says");
    let messages = run_quietly(&mut check)?;
    let library = messages
        .split('"')
        .find(|part| part.contains("libdiesel_binds-") && part.ends_with(".rmeta"))
        .context("cargo does not say where the library is")?;
    let folder = Path::new(library).parent().context("it is in a folder")?;
    let compiled = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
        .args([program, "--edition=2024", "--emit=metadata", "--out-dir"])
        .arg(folder)
        .args(["--extern", &format!("diesel_binds={library}"), "-L"])
        .arg(format!("dependency={}", folder.display()))
        .current_dir(workspace::root())
        .output()
        .context("cannot run rustc")?;
    let said = String::from_utf8_lossy(&compiled.stderr);
    for words in [
        "diesel-binds was built without a pool",
        "turn on one of its features `deadpool` and `bb8`",
    ] {
        if !said.contains(words) {
            bail!("{program} is not told `{words}`, but:\n{said}");
        }
    }
    Ok(())
}
