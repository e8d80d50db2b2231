//! The migrations in a folder, by Diesel's rules.

use std::io;
use std::path::Path;

use diesel_binds::migrations::MigrationId;

/// Reads a folder, in the order of the versions. Diesel takes every folder in it for a migration, except hidden ones.
///
/// Fails if two migrations have one version, and names both: Diesel does not document which of them it runs.
pub(crate) fn read(folder: &Path) -> Result<Vec<MigrationId>, String> {
    let failed = |error: io::Error| format!("cannot read {}: {error}", folder.display());
    let mut migrations = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with('.') && entry.path().is_dir() {
            migrations.push(MigrationId::of_folder(name));
        }
    }
    migrations.sort();
    match migrations
        .windows(2)
        .find(|two| two[0].version == two[1].version)
    {
        Some(two) => Err(format!(
            "{} has two migrations of one version, {} and {}",
            folder.display(),
            two[0],
            two[1]
        )),
        None => Ok(migrations),
    }
}

/// Returns the migration with the tables of the commit protocol, if it is there.
pub(crate) fn protocol(migrations: &[MigrationId]) -> Option<&MigrationId> {
    migrations
        .iter()
        .find(|id| id.name.ends_with("_diesel_binds"))
}

/// Returns whether a folder has a migration of this version.
pub(crate) fn has(migrations: &[MigrationId], version: &str) -> bool {
    migrations.iter().any(|id| id.version == version)
}
