//! The database that a URL of SQLite opens in Diesel.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// Returns the name by which SQLite opens the database that Diesel opens by `url`, also in `ATTACH`.
///
/// Diesel opens every connection with URIs enabled for names that begin with `file:`, and turns `sqlite://` into that.
/// Every other name is a path, whatever it contains.
pub(crate) fn sqlite_name(url: &str) -> String {
    match url.strip_prefix("sqlite://") {
        Some(rest) => format!("file:{rest}"),
        None => url.to_owned(),
    }
}

/// The place of a database of SQLite.
#[derive(Debug, PartialEq, Eq)]
pub enum SqlitePlace {
    /// A file.
    File(PathBuf),
    /// The memory of the process, shared by all connections.
    SharedMemory,
    /// The memory of one connection.
    OwnMemory,
    /// A file without a name, which is deleted with its connection.
    Temporary,
}

/// Returns the place of the database of a URL, without opening it.
#[must_use]
pub fn sqlite_place(url: &str) -> SqlitePlace {
    let name = sqlite_name(url);
    let Some(uri) = name.strip_prefix("file:") else {
        return match url {
            ":memory:" => SqlitePlace::OwnMemory,
            "" => SqlitePlace::Temporary,
            path => SqlitePlace::File(path.into()),
        };
    };
    let (path, _) = split(uri);
    let path = match path.strip_prefix("//") {
        // The part before the path is a host, which is always the local one.
        Some(rest) => rest.find('/').map_or("", |start| &rest[start..]),
        None => path,
    };
    let path = decoded(path);
    let parameters = sqlite_parameters(url);
    let last = |key: &str| {
        let mut parameters = parameters.iter().rev();
        let found = parameters.find(|(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    };
    let in_memory = path == ":memory:" || last("mode") == Some("memory");
    match (in_memory, last("cache"), last("vfs")) {
        (_, _, Some("memdb")) if path.starts_with('/') => SqlitePlace::SharedMemory,
        (_, _, Some("memdb")) => SqlitePlace::OwnMemory,
        (true, Some("shared"), _) => SqlitePlace::SharedMemory,
        (true, ..) => SqlitePlace::OwnMemory,
        (false, ..) if path.is_empty() => SqlitePlace::Temporary,
        (false, ..) => SqlitePlace::File(path.into()),
    }
}

/// Returns the parameters of a URL, in their order. A name that is not a URI has none.
pub(super) fn sqlite_parameters(url: &str) -> Vec<(String, String)> {
    let name = sqlite_name(url);
    let Some(uri) = name.strip_prefix("file:") else {
        return Vec::new();
    };
    let (_, parameters) = split(uri);
    let parameters = parameters.split('&').filter(|one| !one.is_empty());
    parameters
        .map(|one| {
            let (name, value) = one.split_once('=').unwrap_or((one, ""));
            (decoded(name), decoded(value))
        })
        .collect()
}

/// Splits a URI behind `file:` into the path and the parameters.
fn split(uri: &str) -> (&str, &str) {
    let (uri, _) = uri.split_once('#').unwrap_or((uri, ""));
    uri.split_once('?').unwrap_or((uri, ""))
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}
