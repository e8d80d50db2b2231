//! Checks of a URL for the backend of its bind. Nothing here ever prints the URL, which may contain a password.

use crate::backend::Backend;
use crate::config::sqlite::{SqlitePlace, sqlite_place};
use crate::config::sqlite_locking::{UnsafeParameter, unsafe_parameter};
#[cfg(any(feature = "postgres", feature = "mysql"))]
use crate::tls;
use crate::tls::{TlsMode, TlsProblem, TlsSetting};

/// A mistake in a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlProblem {
    /// The URL is for another kind of server.
    #[error("its scheme `{scheme}` is not one of {backend}")]
    WrongBackend {
        /// The scheme.
        scheme: String,
        /// The backend of the bind.
        backend: Backend,
    },
    /// The URL cannot be parsed.
    #[error("it is not a URL of {backend}: {reason}")]
    Invalid {
        /// The backend of the bind.
        backend: Backend,
        /// The reason that the driver gives, without the URL.
        reason: String,
    },
    /// Each connection of the pool would have a database of its own in memory.
    #[error(
        "each connection of its pool would have a database of its own in memory: name a file, or a memory that all share, \
         which takes one unit at a time: `file:<name>?mode=memory&cache=shared`"
    )]
    OwnMemory,
    /// A parameter of SQLite turns off what commits rely on.
    #[error("its parameter `{parameter}` {reason}; leave it out")]
    UnsafeParameter {
        /// The parameter with its value.
        parameter: String,
        /// The effect of the parameter.
        reason: &'static str,
    },
    /// The URL says something about TLS that is wrong, or cannot be done.
    #[error("{0}")]
    Tls(TlsProblem),
}

/// The database that a URL leads to, and how it is reached.
#[derive(Clone)]
#[cfg_attr(
    not(all(feature = "postgres", feature = "mysql")),
    allow(dead_code, reason = "only some backends read each field")
)]
pub struct Place {
    /// The URL as it was given.
    pub(crate) url: String,
    /// The URL as the driver reads it: without the parameters that only the library knows.
    pub(crate) driver_url: String,
    /// How connections are encrypted; `None` for a file, and where the application opens the connections.
    pub(crate) tls: Option<TlsSetting>,
}

/// Checks a URL, as far as that is possible without a server.
pub(crate) fn check_url(backend: Backend, url: &str) -> Result<Place, UrlProblem> {
    let scheme = scheme(url);
    match (backend, scheme) {
        (Backend::Postgres, Some("postgres" | "postgresql") | None) => postgres(url),
        (Backend::Mysql, Some("mysql")) => mysql(url),
        (Backend::Sqlite, Some("sqlite" | "file") | None) => {
            sqlite(url).map(|()| Place::without_tls(url))
        }
        (_, scheme) => Err(UrlProblem::WrongBackend {
            scheme: scheme.unwrap_or("(none)").chars().take(20).collect(),
            backend,
        }),
    }
}

/// Returns whether connections by a URL of MySQL or MariaDB must be encrypted, also if the URL has a mistake.
#[must_use]
pub fn mysql_requires_tls(url: &str) -> bool {
    match check_url(Backend::Mysql, url) {
        Ok(Place { tls, .. }) => {
            tls.is_some_and(|tls| !matches!(tls.mode, TlsMode::Disable | TlsMode::Prefer))
        }
        Err(problem) => matches!(problem, UrlProblem::Tls(_)),
    }
}

/// Checks a URL by which the application opens the connections itself. A URL that only our own opening cannot handle is
/// accepted.
pub(crate) fn check_url_of_setup(backend: Backend, url: &str) -> Result<Place, UrlProblem> {
    match check_url(backend, url) {
        Ok(_) | Err(UrlProblem::Tls(_) | UrlProblem::OwnMemory) => Ok(Place::without_tls(url)),
        Err(problem) => Err(problem),
    }
}

impl Place {
    fn without_tls(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            driver_url: url.to_owned(),
            tls: None,
        }
    }
}

/// Returns the part before `://`, if it is a scheme: in `host=db password=a://b` it is in the password.
fn scheme(url: &str) -> Option<&str> {
    let (scheme, _) = url.split_once("://")?;
    scheme
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        .then_some(scheme)
}

#[cfg(feature = "postgres")]
fn postgres(url: &str) -> Result<Place, UrlProblem> {
    use crate::backend::postgres;

    let invalid = |reason: &str| UrlProblem::Invalid {
        backend: Backend::Postgres,
        reason: reason.into(),
    };
    let (driver_url, given) = tls::of_postgres(url).map_err(UrlProblem::Tls)?;
    let config = postgres::config(&driver_url).ok_or_else(|| {
        invalid("not a connection string, or one with a parameter that is not known")
    })?;
    let host = postgres::host(&config).ok_or_else(|| invalid("it names no host"))?;
    let tls = TlsSetting::of_postgres(&given, &host).map_err(UrlProblem::Tls)?;
    Ok(Place {
        url: url.to_owned(),
        driver_url,
        tls: Some(tls),
    })
}

#[cfg(feature = "mysql")]
fn mysql(url: &str) -> Result<Place, UrlProblem> {
    use crate::backend::mysql;

    let invalid = |reason: &str| UrlProblem::Invalid {
        backend: Backend::Mysql,
        reason: reason.into(),
    };
    let (driver_url, given) = tls::of_mysql(url).map_err(UrlProblem::Tls)?;
    let options = mysql::options(&driver_url).ok_or_else(|| {
        invalid("not a connection URL, or one with a parameter that is not known")
    })?;
    if options.db_name().is_none_or(str::is_empty) {
        return Err(invalid("it names no database"));
    }
    let tls = TlsSetting::of_mysql(&given, &mysql::host(&options)).map_err(UrlProblem::Tls)?;
    Ok(Place {
        url: url.to_owned(),
        driver_url,
        tls: Some(tls),
    })
}

fn sqlite(url: &str) -> Result<(), UrlProblem> {
    if let Some(UnsafeParameter { parameter, reason }) = unsafe_parameter(url) {
        return Err(UrlProblem::UnsafeParameter { parameter, reason });
    }
    match sqlite_place(url) {
        SqlitePlace::File(_) | SqlitePlace::SharedMemory => Ok(()),
        SqlitePlace::OwnMemory => Err(UrlProblem::OwnMemory),
        SqlitePlace::Temporary => Err(UrlProblem::Invalid {
            backend: Backend::Sqlite,
            reason: "it is empty, so SQLite would open a temporary file".into(),
        }),
    }
}

// Without its driver there is no connection type of the backend either, so these are never called.
#[cfg(not(feature = "postgres"))]
fn postgres(url: &str) -> Result<Place, UrlProblem> {
    Ok(Place::without_tls(url))
}

#[cfg(not(feature = "mysql"))]
fn mysql(url: &str) -> Result<Place, UrlProblem> {
    Ok(Place::without_tls(url))
}
