//! The migrations in a folder, as Diesel sees them.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// The names of the migrations in a folder, by their versions as Diesel records them.
pub(crate) type Migrations = BTreeMap<String, String>;

/// Reads a folder. Diesel takes every folder in it for a migration, but hidden ones.
///
/// The error names two that have one version: which of them Diesel would run is not said anywhere.
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

/// The version of the migration with the tables of the commit protocol, if it is there.
pub(crate) fn protocol(migrations: &Migrations) -> Option<&String> {
    let mut migrations = migrations.iter();
    let (version, _) = migrations.find(|(_, name)| name.ends_with("_diesel_binds"))?;
    Some(version)
}

/// The version of a migration, as Diesel records it.
pub(crate) fn version(name: &str) -> String {
    name.split('_').next().unwrap_or(name).replace('-', "")
}
