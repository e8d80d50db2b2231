//! The installed Diesel CLI: finds it, and runs it for one bind.

use std::env;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use diesel_binds::__private::mysql_requires_tls;
use diesel_binds::Manifest;
use diesel_binds::backend::Backend;
use diesel_binds::config::ManifestBind;
use tokio::sync::mpsc;

use crate::arguments::Written;
use crate::exit::Refusal;
use crate::project::Address;

/// The first version with the `diesel.toml` and the messages that this file relies on.
const OLDEST: (u64, u64) = (2, 3);

/// The variable that sets the log level of `diesel`.
const LOG: &str = "DIESEL_LOG";

/// An installed `diesel` that is new enough and has the backends of the project.
#[derive(Debug)]
pub(crate) struct Diesel(());

/// A failure of a `diesel` process.
#[derive(Debug)]
pub(crate) enum Failed {
    /// Ended with this code, or by a signal.
    Ended(Option<i32>),
    /// Could not be started, or its output could not be read.
    Lost(io::Error),
    /// Was not started, because it could connect in the clear against the URL.
    InTheClear,
}

/// A line that `diesel` printed.
pub(crate) enum Line {
    Out(String),
    Err(String),
}

impl Diesel {
    /// Finds `diesel` in the `PATH`, and checks its version and its backends for these binds of a manifest.
    pub(crate) fn find(manifest: &Manifest, binds: &[&ManifestBind]) -> Result<Self, Refusal> {
        let backends = backends(binds.iter().copied());
        let refusal = |what: String| {
            // Names the backends of all binds, because a new installation replaces the present one.
            let all = self::backends(manifest.binds());
            Refusal::new(format!("{what}: {}", installation(&all)))
        };
        let said = Command::new("diesel")
            .arg("--version")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => refusal("the Diesel CLI is not installed".into()),
                _ => refusal(format!("`diesel` cannot be started ({error})")),
            })?;
        let said = String::from_utf8_lossy(&said.stdout);
        let version = version(&said)
            .ok_or_else(|| refusal("`diesel --version` does not say its version".into()))?;
        if version < OLDEST {
            let (major, minor) = version;
            return Err(refusal(format!("`diesel` {major}.{minor} is too old")));
        }
        let has = |backend: &Backend| {
            let words = said
                .split_once("Backends:")
                .map_or("", |(_, backends)| backends);
            words
                .split_whitespace()
                .any(|word| word == Written::of(*backend).text())
        };
        match backends.iter().find(|backend| !has(backend)) {
            Some(lacks) => Err(refusal(format!(
                "the installed `diesel` was built without {lacks}"
            ))),
            None => Ok(Self(())),
        }
    }

    /// Runs `diesel` for a bind in the top folder of the project, and passes on each line that it prints.
    ///
    /// The URL is only in the environment of the process: every user of the machine can see its arguments.
    pub(crate) async fn run(
        &self,
        manifest: &Manifest,
        bind: &ManifestBind,
        address: Option<&Address>,
        arguments: &[String],
        mut on_line: impl FnMut(Line),
    ) -> Result<(), Failed> {
        // libpq does what its URL says, or fails.
        if bind.backend() == Backend::Mysql
            && address.is_some_and(|address| mysql_requires_tls(&address.url))
        {
            return Err(Failed::InTheClear);
        }
        let config = config_file(bind);
        let mut command = Command::new("diesel");
        command
            .args(arguments)
            .arg("--config-file")
            .arg(relative(manifest.folder(), &config))
            .current_dir(manifest.folder())
            // Both variables would take precedence over the config file.
            .env_remove("MIGRATION_DIRECTORY")
            .env_remove("DIESEL_CONFIG_FILE")
            // Without this, `diesel` colours its log even where the log goes to a pipe.
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        // For a failed query, `diesel` would log the error that it then prints.
        if env::var_os(LOG).is_none() {
            command.env(LOG, "off");
        }
        match address {
            Some(address) => command.env("DATABASE_URL", &address.url),
            // Empty, and not absent: `diesel` would otherwise read a URL from `.env`.
            None => command.env("DATABASE_URL", ""),
        };
        let mut child = command.spawn().map_err(Failed::Lost)?;
        let (lines, mut received) = mpsc::unbounded_channel();
        let out = child.stdout.take().map(|out| {
            let lines = lines.clone();
            thread::spawn(move || read(out, |line| lines.send(Line::Out(line)).is_ok()))
        });
        let err = child.stderr.take().map(|err| {
            let lines = lines.clone();
            thread::spawn(move || read(err, |line| lines.send(Line::Err(line)).is_ok()))
        });
        let redact = |text: String| match address {
            Some(address) => address.redaction.apply(&text),
            None => text,
        };
        drop(lines);
        while let Some(line) = received.recv().await {
            on_line(match line {
                // A printed schema is no message: a table may have the name of a password.
                Line::Out(line) if arguments[0] == "print-schema" => Line::Out(line),
                Line::Out(line) => Line::Out(redact(line)),
                Line::Err(line) => Line::Err(redact(line)),
            });
        }
        for reader in [out, err].into_iter().flatten() {
            reader
                .join()
                .unwrap_or_else(|_| Err(io::Error::other("a reader panicked")))
                .map_err(Failed::Lost)?;
        }
        let status = child.wait().map_err(Failed::Lost)?;
        if status.success() {
            Ok(())
        } else {
            Err(Failed::Ended(status.code()))
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(Some(code)) => write!(f, "`diesel` ended with {code}"),
            Self::Ended(None) => f.write_str("`diesel` was ended by a signal"),
            Self::Lost(error) => write!(f, "`diesel` could not be run: {error}"),
            Self::InTheClear => f.write_str(
                "`diesel` was not run: the URL requires TLS, which `diesel` ignores if its client library is libmariadb; run the \
                 migrations in the program (`binds.migrations()`), or through a tunnel with a URL that requires none",
            ),
        }
    }
}

/// Returns the path of the `diesel.toml` of a bind.
pub(crate) fn config_file(bind: &ManifestBind) -> std::path::PathBuf {
    bind.migrations().join("diesel.toml")
}

/// Returns a path relative to `folder` if it is below it, and any other path as it is.
pub(crate) fn relative<'a>(folder: &Path, path: &'a Path) -> &'a Path {
    path.strip_prefix(folder).unwrap_or(path)
}

fn read(stream: impl Read, mut send: impl FnMut(String) -> bool) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while stream.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line);
        if !send(text.trim_end_matches(['\r', '\n']).to_owned()) {
            break;
        }
        line.clear();
    }
    Ok(())
}

fn backends<'a>(binds: impl IntoIterator<Item = &'a ManifestBind>) -> Vec<Backend> {
    let mut backends = Vec::new();
    for bind in binds {
        if !backends.contains(&bind.backend()) {
            backends.push(bind.backend());
        }
    }
    backends
}

/// Returns the first two numbers of the first word that is a version.
fn version(said: &str) -> Option<(u64, u64)> {
    said.split_whitespace().find_map(|word| {
        let mut numbers = word.split('.').map(str::parse);
        match (numbers.next()?, numbers.next()?) {
            (Ok(major), Ok(minor)) => Some((major, minor)),
            _ => None,
        }
    })
}

fn installation(backends: &[Backend]) -> String {
    let features: Vec<_> = backends
        .iter()
        .map(|backend| match Written::of(*backend) {
            Written::Sqlite => "sqlite-bundled",
            other => other.text(),
        })
        .collect();
    let (major, minor) = OLDEST;
    format!(
        "`cargo install diesel_cli --version \"~{major}.{minor}\" --locked --no-default-features --features {}` \
         installs it (PostgreSQL needs libpq, MySQL and MariaDB need libmysqlclient or libmariadb: on Debian \
         libpq-dev, libmariadb-dev)",
        features.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn the_version_is_found_in_what_old_and_new_ones_say() {
        assert_eq!(version("diesel 1.4.1"), Some((1, 4)));
        assert_eq!(
            version("diesel \n Version: 2.3.14\n Supported Backends: mysql"),
            Some((2, 3))
        );
        assert_eq!(version("diesel"), None);
    }
}
