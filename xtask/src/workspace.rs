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

/// Returns the folder of the programs of later releases.
pub(crate) fn packages() -> PathBuf {
    root().join("target").join("servers-packages")
}

/// Returns the folder of files that no run needs again: one in memory, if it has room. Tests end processes, never the
/// machine, so no test depends on the disk.
pub(crate) fn scratch() -> PathBuf {
    /// More than the servers of the tests and the copies of them need.
    const ROOM: u64 = 10 << 30;

    let memory = Path::new("/dev/shm");
    let has_room = rustix::fs::statvfs(memory)
        .is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) >= ROOM);
    let is_chosen = env::var_os("TMPDIR").is_some();
    match has_room && !is_chosen {
        true => memory.to_owned(),
        false => env::temp_dir(),
    }
}
