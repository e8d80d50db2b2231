//! The folders of the workspace.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// Returns the folder of the top-level `Cargo.toml` of the checkout that contains the current folder.
///
/// This program may be compiled from another checkout: checkouts that share a target folder share the program.
pub(crate) fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let current = env::current_dir().unwrap_or_default();
        let found = current
            .ancestors()
            .find(|folder| folder.join("xtask/Cargo.toml").is_file());
        let compiled = || Path::new(env!("CARGO_MANIFEST_DIR")).parent();
        found
            .or_else(compiled)
            .expect("xtask is a folder of the workspace")
            .to_owned()
    });
    &ROOT
}

/// Returns the folder of the servers' state. It is always in the workspace's own `target/`, so that tests find it, even
/// if cargo builds elsewhere.
pub(crate) fn servers() -> PathBuf {
    root().join("target").join("servers")
}
