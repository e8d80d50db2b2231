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
    let (uri, _) = uri.split_once('#').unwrap_or((uri, ""));
    let (path, parameters) = uri.split_once('?').unwrap_or((uri, ""));
    let path = match path.strip_prefix("//") {
        // The part before the path is a host, which is always the local one.
        Some(rest) => rest.find('/').map_or("", |start| &rest[start..]),
        None => path,
    };
    let path = percent_decode_str(path).decode_utf8_lossy().into_owned();
    let last = |key: &str| {
        let parameters = parameters.split('&').rev();
        parameters
            .filter_map(|parameter| parameter.split_once('='))
            .find_map(|(name, value)| (name == key).then_some(value))
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
