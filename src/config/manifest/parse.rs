//! Parsing and checking the text of a manifest.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use crate::backend::Backend;
use crate::config::default_variable;
use crate::config::manifest::{
    Manifest, ManifestBind, ManifestError, ManifestNeed, ManifestPlace, ManifestProblem,
};
use crate::gid::{MAX_KEY, MAX_NAMESPACE, is_name};

/// The content of the file before the checks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    namespace: Spanned<String>,
    bind: BTreeMap<Spanned<String>, WrittenBind>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBind {
    backend: Spanned<String>,
    url_env: Option<Spanned<String>>,
    migrations: Option<Spanned<PathBuf>>,
    schema: Option<Spanned<PathBuf>>,
    shared_with: Option<Spanned<String>>,
    attach_to: Option<Spanned<String>>,
    #[serde(default)]
    needs: BTreeMap<String, Spanned<String>>,
}

pub(super) fn parse(text: &str, file: PathBuf) -> Result<Manifest, ManifestError> {
    let invalid = |problems| {
        Err(ManifestError::Invalid {
            path: file.clone(),
            problems,
        })
    };
    let written: Written = match toml::from_str(text) {
        Ok(written) => written,
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            return invalid(vec![ManifestProblem {
                line: line_of(text, start),
                message: without_values(error.message()),
            }]);
        }
    };
    let mut reader = Reader {
        text,
        folder: file.parent().unwrap_or(Path::new("")),
        problems: Vec::new(),
    };
    let (namespace, binds) = reader.read(written);
    let problems = reader.problems;
    if !problems.is_empty() {
        return invalid(problems);
    }
    Ok(Manifest {
        namespace,
        binds,
        file,
    })
}

struct Reader<'a> {
    text: &'a str,
    folder: &'a Path,
    problems: Vec<ManifestProblem>,
}

impl Reader<'_> {
    fn read(&mut self, written: Written) -> (String, Vec<ManifestBind>) {
        if !is_name(written.namespace.get_ref(), MAX_NAMESPACE) {
            self.problem(
                &written.namespace,
                format!("the namespace is not of [a-z0-9_-] and 1 to {MAX_NAMESPACE} bytes"),
            );
        }
        if written.bind.is_empty() {
            self.problem(
                &written.namespace,
                "there is no bind: add a table such as `[bind.accounts]`".into(),
            );
        }
        let mut in_order: Vec<_> = written.bind.into_iter().collect();
        in_order.sort_by_key(|(key, _)| key.span().start);
        let mut binds: Vec<ManifestBind> = Vec::new();
        for (key, bind) in &in_order {
            let read = self.bind(key, bind);
            self.distinct(key, &read, &binds);
            binds.push(read);
        }
        for ((key, written), bind) in in_order.iter().zip(&binds) {
            self.references(key, written, bind, &binds);
        }
        (written.namespace.into_inner(), binds)
    }

    fn bind(&mut self, key: &Spanned<String>, written: &WrittenBind) -> ManifestBind {
        let name = key.get_ref();
        if !is_name(name, MAX_KEY) {
            self.problem(
                key,
                format!("the key of a bind is not of [a-z0-9_-] and 1 to {MAX_KEY} bytes"),
            );
        }
        let backend = match written.backend.get_ref().as_str() {
            "postgres" => Backend::Postgres,
            "mysql" => Backend::Mysql,
            "sqlite" => Backend::Sqlite,
            _ => {
                self.problem(
                    &written.backend,
                    format!("the backend of `{name}` is not `postgres`, `mysql` or `sqlite`"),
                );
                Backend::Sqlite
            }
        };
        let place = match (&written.shared_with, &written.attach_to) {
            (None, None) => ManifestPlace::Own,
            (Some(with), None) => ManifestPlace::SharedWith(with.get_ref().clone()),
            (None, Some(to)) => ManifestPlace::AttachedTo(to.get_ref().clone()),
            (Some(_), Some(to)) => {
                self.problem(
                    to,
                    format!("`{name}` has both `shared_with` and `attach_to`: one of them"),
                );
                ManifestPlace::Own
            }
        };
        if let (Some(variable), ManifestPlace::SharedWith(with)) = (&written.url_env, &place) {
            self.problem(
                variable,
                format!("`{name}` is in the database of `{with}` and has no URL of its own"),
            );
        }
        if let Some(variable) = &written.url_env
            && !is_variable(variable.get_ref())
        {
            self.problem(
                variable,
                format!(
                    "`url_env` of `{name}` is not the name of an environment variable: a URL itself has no place here"
                ),
            );
        }
        let variable = match (&written.url_env, &place) {
            (_, ManifestPlace::SharedWith(_)) => None,
            (Some(variable), _) => Some(variable.get_ref().clone()),
            (None, _) => Some(default_variable(name)),
        };
        let path = |given: &Option<Spanned<PathBuf>>, default: String| {
            let path = given
                .as_ref()
                .map_or(PathBuf::from(default), |path| path.get_ref().clone());
            normal(&self.folder.join(path))
        };
        ManifestBind {
            key: name.clone(),
            backend,
            variable,
            migrations: path(&written.migrations, format!("migrations/{name}")),
            schema: path(&written.schema, format!("src/schema/{name}.rs")),
            needs: written
                .needs
                .iter()
                .map(|(bind, version)| ManifestNeed {
                    bind: bind.clone(),
                    version: version.get_ref().replace('-', ""),
                })
                .collect(),
            place,
        }
    }

    /// Refuses two binds with the same files: one would overwrite or run the files of the other.
    fn distinct(&mut self, key: &Spanned<String>, bind: &ManifestBind, others: &[ManifestBind]) {
        for other in others {
            let mut shared = Vec::new();
            if bind.variable.is_some() && bind.variable == other.variable {
                shared.push("URL variable");
            }
            if bind.schema == other.schema {
                shared.push("schema file");
            }
            // Diesel takes every folder in a folder of migrations for a migration.
            if bind.migrations.starts_with(&other.migrations)
                || other.migrations.starts_with(&bind.migrations)
            {
                shared.push("folder of migrations (or one within the other)");
            }
            for what in shared {
                let (one, two) = (&other.key, &bind.key);
                self.problem(key, format!("`{one}` and `{two}` have the same {what}"));
            }
        }
    }

    /// Checks the references of a bind to others.
    fn references(
        &mut self,
        key: &Spanned<String>,
        written: &WrittenBind,
        bind: &ManifestBind,
        binds: &[ManifestBind],
    ) {
        let name = &bind.key;
        if let ManifestPlace::SharedWith(with) | ManifestPlace::AttachedTo(with) = &bind.place {
            match binds.iter().find(|other| other.key == *with) {
                Some(other) if other.place == ManifestPlace::Own && other.key != *name => {
                    if other.backend != bind.backend {
                        self.problem(key, format!("`{name}` and `{with}` have different backends"));
                    }
                }
                _ => self.problem(
                    key,
                    format!("`{name}` shares or is attached to a bind that has no database of its own in the manifest"),
                ),
            }
        }
        if matches!(bind.place, ManifestPlace::AttachedTo(_)) && bind.backend != Backend::Sqlite {
            self.problem(
                key,
                format!("only SQLite files can be attached, and `{name}` is not one"),
            );
        }
        for (other, version) in &written.needs {
            if other == name || !binds.iter().any(|bind| bind.key == *other) {
                self.problem(
                    version,
                    format!("`needs` of `{name}` names a bind that is not in the manifest"),
                );
            }
            let text = version.get_ref();
            if text.is_empty() || !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
                self.problem(
                    version,
                    format!(
                        "`needs` of `{name}` has a value that is not the version of a migration"
                    ),
                );
            }
        }
    }

    fn problem<T>(&mut self, at: &Spanned<T>, message: String) {
        self.problems.push(ManifestProblem {
            line: line_of(self.text, at.span().start),
            message,
        });
    }
}

fn line_of(text: &str, position: usize) -> usize {
    let before = text.as_bytes().get(..position).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

fn is_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Removes `.` and `..`, so that two spellings of one path are equal.
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

/// Removes the value that serde repeats in an error about a wrong type.
fn without_values(message: &str) -> String {
    match (message.find("string \""), message.rfind('"')) {
        (Some(start), Some(end)) => format!("{}a string{}", &message[..start], &message[end + 1..]),
        _ => message.to_owned(),
    }
}
