//! Checks the `diesel.toml` of every bind: it must exist, and concern no other bind. `diesel` takes a missing file for
//! an empty one.

use std::path::{Component, Path, PathBuf};

use diesel_binds::Manifest;
use diesel_binds::config::ManifestBind;

use crate::diesel_cli::{config_file, relative};
use crate::exit::Refusal;

/// Refuses unless every bind has a `diesel.toml` that names its own folder of migrations and its own schema file.
///
/// Checks all binds, not only those of the command: the file of another bind may name the files of one of these.
pub(crate) fn check(manifest: &Manifest) -> Result<(), Refusal> {
    let problems = problems(manifest);
    if problems.is_empty() {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "nothing was done, because:\n  {}",
        problems.join("\n  ")
    )))
}

pub(crate) fn problems(manifest: &Manifest) -> Vec<String> {
    let mut problems = Vec::new();
    for bind in manifest.binds() {
        let file = config_file(bind);
        match Config::read(&file) {
            Ok(Some(config)) => config.hold_to(manifest, bind, &mut problems),
            Ok(None) => problems.push(format!(
                "there is no {}, and `diesel` takes a missing one for an empty one; `diesel-binds add {}` writes it",
                relative(manifest.folder(), &file).display(),
                bind.key()
            )),
            Err(problem) => problems.push(problem),
        }
    }
    // The `diesel.toml` of the top folder is for `diesel` without flags.
    match Config::read(&manifest.folder().join("diesel.toml")) {
        Ok(Some(config)) => config.hold_together(manifest, &mut problems),
        Ok(None) => {}
        Err(problem) => problems.push(problem),
    }
    problems
}

/// The part of a `diesel.toml` that names files.
struct Config {
    file: PathBuf,
    migrations: Option<PathBuf>,
    schemas: Vec<PathBuf>,
}

impl Config {
    fn read(file: &Path) -> Result<Option<Self>, String> {
        let text = match std::fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
        };
        let table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| format!("{}: {}", file.display(), error.message()))?;
        let folder = file.parent().unwrap_or(Path::new(""));
        let path = |value: Option<&toml::Value>| {
            value
                .and_then(toml::Value::as_str)
                .map(|path| normal(&folder.join(path)))
        };
        let migrations = table
            .get("migrations_directory")
            .map(|d| path(d.get("dir")));
        let mut schemas = Vec::new();
        if let Some(toml::Value::Table(printed)) = table.get("print_schema") {
            schemas.extend(path(printed.get("file")));
            // `[print_schema.other]` is one more file of the same database.
            let more = printed.values().filter_map(toml::Value::as_table);
            schemas.extend(more.filter_map(|table| path(table.get("file"))));
        }
        Ok(Some(Self {
            file: file.to_owned(),
            migrations: migrations.flatten(),
            schemas,
        }))
    }

    /// Checks that the file of a bind names only the files of that bind.
    fn hold_to(&self, manifest: &Manifest, bind: &ManifestBind, problems: &mut Vec<String>) {
        let folder = manifest.folder();
        let shown = |path: &Path| relative(folder, path).display().to_string();
        let file = shown(&self.file);
        match &self.migrations {
            Some(dir) if dir == bind.migrations() => {}
            Some(dir) => problems.push(format!(
                "{file} has the migrations of `{}` in {}, and diesel-binds.toml in {}",
                bind.key(),
                shown(dir),
                shown(bind.migrations())
            )),
            None => problems.push(format!(
                "{file} does not say where the migrations of `{}` are: `dir = \".\"` in `[migrations_directory]`",
                bind.key()
            )),
        }
        for schema in &self.schemas {
            if let Some(other) = manifest
                .binds()
                .iter()
                .find(|other| other.key() != bind.key() && other.schema() == schema)
            {
                problems.push(format!(
                    "{file} would overwrite {}, the schema file of `{}`, with that of `{}`",
                    shown(schema),
                    other.key(),
                    bind.key()
                ));
            }
        }
        if !self.schemas.is_empty() && !self.schemas.iter().any(|file| file == bind.schema()) {
            problems.push(format!(
                "{file} has the schema of `{}` in {}, and diesel-binds.toml in {}",
                bind.key(),
                shown(&self.schemas[0]),
                shown(bind.schema())
            ));
        }
    }

    /// Checks that the file of the top folder does not mix two binds.
    fn hold_together(&self, manifest: &Manifest, problems: &mut Vec<String>) {
        let by_folder = self.migrations.as_ref().and_then(|dir| {
            manifest
                .binds()
                .iter()
                .find(|bind| bind.migrations() == dir)
        });
        for schema in &self.schemas {
            let by_schema = manifest.binds().iter().find(|bind| bind.schema() == schema);
            if let (Some(one), Some(two)) = (by_folder, by_schema)
                && one.key() != two.key()
            {
                problems.push(format!(
                    "diesel.toml has the migrations of `{}`, and the schema file of `{}`",
                    one.key(),
                    two.key()
                ));
            }
        }
    }
}

/// Returns the path without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            other => normal.push(other),
        }
    }
    normal
}
