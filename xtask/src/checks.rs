//! The checks that need no server: formatting, lints, documentation, the feature matrix.

use anyhow::Result;

use crate::command::{cargo, run};

/// Every set of features that has to build by itself.
const FEATURE_SETS: &[&str] = &[
    "",
    "manifest",
    "manifest,postgres,bb8",
    "cli,sqlite-bundled",
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
    "postgres,deadpool,testing",
    "sqlite-bundled,bb8,testing",
    "postgres,mysql,sqlite-bundled,deadpool,bb8,testing,axum",
];

/// Formatting and clippy. `incompatible_msrv` holds the code to the `rust-version` of `Cargo.toml`.
pub(crate) fn lint() -> Result<()> {
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
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

/// The documentation as docs.rs builds it.
pub(crate) fn docs() -> Result<()> {
    run(
        cargo(&["doc", "--workspace", "--no-deps", "--all-features"])
            .env("RUSTDOCFLAGS", "--deny=warnings"),
    )
}

/// The library, and the programs that it has then, with each set of features. Clippy takes the place of `cargo check`: it denies warnings in this
/// workspace only, where `RUSTFLAGS` would rebuild every dependency.
pub(crate) fn features() -> Result<()> {
    for features in FEATURE_SETS {
        run(&mut cargo(&[
            "clippy",
            "--package=diesel-binds",
            "--lib",
            "--bins",
            "--no-default-features",
            "--features",
            features,
            "--",
            "--deny=warnings",
        ]))?;
    }
    Ok(())
}
