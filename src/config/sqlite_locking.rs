//! Parameters of a URL of SQLite that turn off what commits rely on: locks that every process respects, and a wait for
//! them.

use crate::config::sqlite::{SqlitePlace, sqlite_parameters, sqlite_place};

/// A parameter, and the reason why no bind may have it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UnsafeParameter {
    pub(super) parameter: String,
    pub(super) reason: &'static str,
}

/// Returns the first parameter of a URL with which units are not safe.
pub(super) fn unsafe_parameter(url: &str) -> Option<UnsafeParameter> {
    let is_file = matches!(sqlite_place(url), SqlitePlace::File(_));
    sqlite_parameters(url).into_iter().find_map(|(name, value)| {
        let reason = match name.as_str() {
            "nolock" if is_on(&value) => {
                "turns all locks off: two connections that write at once corrupt the file"
            }
            "immutable" if is_on(&value) => {
                "turns all locks off and ignores changes of the file: a query returns wrong rows when another \
                 process writes"
            }
            "vfs" => reason_against(&value)?,
            // Memory has no other way to be shared.
            "cache" if value == "shared" && is_file => {
                "lets connections of the process lock each other's tables, without a wait for these locks"
            }
            _ => return None,
        };
        let parameter = format!("{name}={value}");
        Some(UnsafeParameter { parameter, reason })
    })
}

/// Returns the reason against one of SQLite's own modules for files. Modules of applications are not known here.
fn reason_against(vfs: &str) -> Option<&'static str> {
    match vfs {
        "unix-none" | "win32-none" | "win32-longpath-none" => {
            Some("turns all locks off: two connections that write at once corrupt the file")
        }
        "unix-dotfile" | "unix-flock" | "unix-namedsem" => Some(
            "locks in another way than other programs do: two that write at once corrupt the file",
        ),
        "unix-excl" => Some(
            "locks every other process out for as long as a connection is open, also one that recovers",
        ),
        _ => None,
    }
}

/// Returns whether SQLite takes a value for true. Values that it does not know keep the default, which is off.
fn is_on(value: &str) -> bool {
    let value = value.to_ascii_lowercase();
    match value.bytes().next() {
        Some(b'0'..=b'9') => value
            .bytes()
            .take_while(u8::is_ascii_digit)
            .any(|digit| digit != b'0'),
        _ => matches!(value.as_str(), "on" | "yes" | "true"),
    }
}
