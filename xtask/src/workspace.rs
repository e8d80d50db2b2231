//! Where the workspace is.

use std::env;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// The folder of the top-level `Cargo.toml`: of the checkout that the current folder is in.
///
/// Not simply the one that this program was compiled from: checkouts that share a target folder share the program.
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

/// The folder of the servers' state: in the workspace's own `target/`, also when cargo builds elsewhere, so that
/// tests find it.
pub(crate) fn servers() -> PathBuf {
    root().join("target").join("servers")
}
