//! The commands `init` and `add`: write the files of a project. Existing files are never overwritten.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use diesel_binds::Manifest;
use diesel_binds::config::{ManifestBind, ManifestPlace};

use crate::arguments::{NewBind, Written};
use crate::diesel_cli::{config_file, relative};
use crate::exit::{Exit, Refusal, chain};

/// Keeps the tables of the protocol, which no query of an application names, out of the schema file.
const FILTER: &str = "filter = { except_tables = [\"^diesel_binds_\"] }";

pub(crate) fn init(
    file: Option<&Path>,
    namespace: Option<&str>,
    binds: &[(String, Written)],
) -> Result<Exit, Refusal> {
    let file = std::path::absolute(file.unwrap_or(Path::new(Manifest::FILE_NAME)))
        .map_err(|error| Refusal::new(format!("there is no current folder: {error}")))?;
    if file.exists() {
        return Err(Refusal::new(format!(
            "{} exists: `diesel-binds add BIND --backend …` adds a bind to it",
            file.display()
        )));
    }
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let namespace = match namespace {
        Some(namespace) => namespace.to_owned(),
        None => package(&folder)?,
    };
    let mut text = format!(
        "# The binds of this application, for `diesel-binds` and `Binds::builder().manifest(..)`.\n\
         namespace = \"{namespace}\" # in the names of its prepared transactions: it stays\n"
    );
    for (key, backend) in binds {
        text.push_str(&entry(key, *backend, &[]));
    }
    let manifest = parse(&text, &file)?;
    let mut files = Files::of(&folder);
    files.write(&file, &text)?;
    for bind in manifest.binds() {
        files.of_bind(bind)?;
    }
    if let Some(first) = manifest.binds().first() {
        let text = format!(
            "# For `diesel` without flags in this folder: the bind `{}`. The others have theirs in their folders.\n{}",
            first.key(),
            config(&folder, first)
        );
        files.write(&folder.join("diesel.toml"), &text)?;
    }
    drop(files);
    next(&manifest, &manifest.binds().iter().collect::<Vec<_>>());
    Ok(Exit::Success)
}

pub(crate) fn add(file: Option<&Path>, key: &str, new: &NewBind) -> Result<Exit, Refusal> {
    let read = match file {
        Some(file) => Manifest::load(file),
        None => Manifest::find("."),
    };
    let mut manifest = read.map_err(|error| Refusal::new(chain(&error)))?;
    let mut files = Files::of(manifest.folder());
    match manifest.bind(key) {
        Some(bind) => refuse_other(bind, new)?,
        None => {
            let with = new.shared_with.as_ref().or(new.attach_to.as_ref());
            let of_other = with
                .and_then(|with| manifest.bind(with))
                .map(|with| Written::of(with.backend()));
            let Some(backend) = new.backend.or(of_other) else {
                return Err(Refusal::new(format!(
                    "`{key}` is not in {} yet: pass its `--backend`",
                    Manifest::FILE_NAME
                )));
            };
            let settings = [
                ("url_env", &new.url_env),
                ("shared_with", &new.shared_with),
                ("attach_to", &new.attach_to),
            ];
            let settings: Vec<_> = settings
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_deref()?)))
                .collect();
            manifest = append(&manifest, &entry(key, backend, &settings))?;
            files
                .lines
                .push(format!("added `{key}` to {}", Manifest::FILE_NAME));
        }
    }
    let bind = manifest
        .bind(key)
        .ok_or_else(|| Refusal::new(format!("`{key}` cannot be the key of a bind")))?;
    files.of_bind(bind)?;
    drop(files);
    next(&manifest, &[bind]);
    Ok(Exit::Success)
}

/// Files that are written unless they exist.
struct Files {
    folder: PathBuf,
    lines: Vec<String>,
}

impl Files {
    fn of(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            lines: Vec::new(),
        }
    }

    fn of_bind(&mut self, bind: &ManifestBind) -> Result<(), Refusal> {
        let text = config(bind.migrations(), bind);
        self.write(&config_file(bind), &text)?;
        // A bind in the database of another one uses the tables of that bind.
        if *bind.place() == ManifestPlace::Own && !has_protocol(bind) {
            let migration = bind.backend().protocol_migration();
            let folder = bind.migrations().join(migration.name);
            self.write(&folder.join("up.sql"), migration.up)?;
            self.write(&folder.join("down.sql"), migration.down)?;
        }
        Ok(())
    }

    fn write(&mut self, path: &Path, text: &str) -> Result<(), Refusal> {
        let shown = relative(&self.folder, path).display().to_string();
        let failed = |error| Refusal::new(format!("cannot write {shown}: {error}"));
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // `create_new` fails if the file exists, also if another process has just created it.
        match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(mut file) => {
                file.write_all(text.as_bytes()).map_err(failed)?;
                self.lines.push(format!("wrote {shown}"));
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.lines.push(format!("kept  {shown}, which exists"));
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }
}

impl Drop for Files {
    /// Prints also if the work failed before its end.
    fn drop(&mut self) {
        for line in &self.lines {
            println!("{line}");
        }
    }
}

fn parse(text: &str, file: &Path) -> Result<Manifest, Refusal> {
    Manifest::parse(text, file).map_err(|error| Refusal::new(chain(&error)))
}

/// Appends a bind to the manifest, and leaves the present text unchanged.
fn append(manifest: &Manifest, entry: &str) -> Result<Manifest, Refusal> {
    let file = manifest.file();
    let failed = |error| Refusal::new(format!("cannot write {}: {error}", file.display()));
    let mut text = fs::read_to_string(file).map_err(failed)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(entry);
    let read = parse(&text, file)?;
    // Written beside the manifest first: a full disk does not leave a truncated manifest.
    let beside = file.with_extension("toml.new");
    fs::write(&beside, &text)
        .and_then(|()| fs::rename(&beside, file))
        .map_err(failed)?;
    Ok(read)
}

fn entry(key: &str, backend: Written, settings: &[(&str, &str)]) -> String {
    let mut entry = format!("\n[bind.{key}]\nbackend = \"{}\"\n", backend.text());
    for (name, value) in settings {
        entry.push_str(&format!("{name} = \"{value}\"\n"));
    }
    entry
}

/// Returns the text of a `diesel.toml` in this folder, for a bind.
fn config(folder: &Path, bind: &ManifestBind) -> String {
    let (dir, file) = (from(folder, bind.migrations()), from(folder, bind.schema()));
    format!(
        "[print_schema]\nfile = \"{file}\"\n{FILTER}\n\n[migrations_directory]\ndir = \"{dir}\"\n"
    )
}

/// Returns `path` relative to `folder`, with `/` between its parts.
fn from(folder: &Path, path: &Path) -> String {
    let common = folder
        .components()
        .zip(path.components())
        .take_while(|(one, two)| one == two)
        .count();
    let up = folder.components().skip(common).map(|_| "..".to_owned());
    let down = path
        .components()
        .skip(common)
        .map(|component| component.as_os_str().to_string_lossy().into_owned());
    let parts: Vec<_> = up.chain(down).collect();
    if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    }
}

fn has_protocol(bind: &ManifestBind) -> bool {
    let ours = bind.backend().protocol_migration().name;
    let Ok(entries) = fs::read_dir(bind.migrations()) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let name = entry.file_name();
        name.to_string_lossy().ends_with("_diesel_binds") && name != *ours
    })
}

fn refuse_other(bind: &ManifestBind, new: &NewBind) -> Result<(), Refusal> {
    let same = new
        .backend
        .is_none_or(|backend| backend == Written::of(bind.backend()));
    if same && new.url_env.is_none() && new.shared_with.is_none() && new.attach_to.is_none() {
        return Ok(());
    }
    Err(Refusal::new(format!(
        "`{}` is already in {}: change it there",
        bind.key(),
        Manifest::FILE_NAME
    )))
}

/// Returns the name of the package in this folder, in lower case.
fn package(folder: &Path) -> Result<String, Refusal> {
    let refusal = || {
        Refusal::new(format!(
            "there is no package in {} whose name could be the namespace: pass `--namespace`",
            folder.display()
        ))
    };
    let text = fs::read_to_string(folder.join("Cargo.toml")).map_err(|_| refusal())?;
    let table: toml::Table = text.parse().map_err(|_| refusal())?;
    let name = table
        .get("package")
        .and_then(|package| package.get("name")?.as_str())
        .ok_or_else(refusal)?;
    Ok(name.to_lowercase())
}

/// Prints the steps that are left to the user.
fn next(manifest: &Manifest, binds: &[&ManifestBind]) {
    println!("\nNext, in the environment or in `.env`:");
    for bind in binds {
        if let Some(variable) = bind.variable() {
            let example = match Written::of(bind.backend()) {
                Written::Postgres => "postgres://user:password@localhost/database",
                Written::Mysql => "mysql://user:password@localhost/database",
                Written::Sqlite => "a path",
            };
            println!("  {variable}  ({example})");
        }
    }
    let select: Vec<_> = match binds {
        [bind] => vec![bind.key()],
        _ => Vec::new(),
    };
    let which = match select.first() {
        Some(key) => format!("--bind {key}"),
        None => "--all".to_owned(),
    };
    println!("then:");
    println!(
        "  diesel-binds migration generate --bind {} create_something",
        binds[0].key()
    );
    println!("  diesel-binds setup {which}");
    println!("and in the code:");
    let mut modules = String::new();
    for bind in binds {
        let name = type_name(bind.key());
        let connection = match Written::of(bind.backend()) {
            Written::Postgres => "diesel_async::AsyncPgConnection",
            Written::Mysql => "diesel_async::AsyncMysqlConnection",
            Written::Sqlite => "diesel_binds::AsyncSqliteConnection",
        };
        let (key, module) = (bind.key(), bind.key().replace('-', "_"));
        let schema = relative(manifest.folder(), bind.schema()).display();
        println!("  #[derive(diesel_binds::Bind)]");
        println!("  #[bind(key = \"{key}\", connection = {connection})]");
        println!("  pub struct {name};");
        modules.push_str(&format!("      pub mod {module}: {name} = \"{schema}\";\n"));
    }
    println!("  diesel_binds::bind_schema! {{\n{modules}  }}");
}

/// Converts `audit-log` to `AuditLog`.
fn type_name(key: &str) -> String {
    key.split(['-', '_'])
        .map(|word| {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect::<String>()
        })
        .collect()
}
