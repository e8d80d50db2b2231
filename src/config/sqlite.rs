//! Which database a URL of SQLite opens: the one that Diesel opens.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

/// The name by which SQLite opens what Diesel opens by `url`, also in `ATTACH`.
///
/// Diesel opens every connection such that a name with `file:` in front is a URI, and turns `sqlite://` into that. All else is
/// a path, whatever is in it.
pub(crate) fn sqlite_name(url: &str) -> String {
    match url.strip_prefix("sqlite://") {
        Some(rest) => format!("file:{rest}"),
        None => url.to_owned(),
    }
}

/// Where a database of SQLite is.
#[derive(Debug, PartialEq, Eq)]
pub enum SqlitePlace {
    /// In a file.
    File(PathBuf),
    /// In the memory of the process, one for all connections.
    SharedMemory,
    /// In the memory of one connection, and in no other.
    OwnMemory,
    /// In a file without a name, which is deleted with its connection.
    Temporary,
}

/// Where the database of a URL is, without a look at it.
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
        // What stands before the path is a host, of which there is one.
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
