//! The migrations in a folder, by Diesel's rules.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The names of the migrations in a folder, by the versions that Diesel records.
pub(crate) type Migrations = BTreeMap<String, String>;

/// Reads a folder. Diesel takes every folder in it for a migration, except hidden ones.
///
/// Fails if two migrations have one version, and names both: Diesel does not document which of them it runs.
pub(crate) fn read(folder: &Path) -> Result<Migrations, String> {
    let failed = |error: io::Error| format!("cannot read {}: {error}", folder.display());
    let mut migrations = Migrations::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with('.') || !entry.path().is_dir() {
            continue;
        }
        if let Some(other) = migrations.insert(version(&name), name.clone()) {
            return Err(format!(
                "{} has two migrations of one version, {other} and {name}",
                folder.display()
            ));
        }
    }
    Ok(migrations)
}

/// Returns the version of the migration with the tables of the commit protocol, if it is there.
pub(crate) fn protocol(migrations: &Migrations) -> Option<&String> {
    let mut migrations = migrations.iter();
    let (version, _) = migrations.find(|(_, name)| name.ends_with("_diesel_binds"))?;
    Some(version)
}

/// Returns the version that Diesel records for a migration.
pub(crate) fn version(name: &str) -> String {
    name.split('_').next().unwrap_or(name).replace('-', "")
}
