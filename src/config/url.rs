//! Checks of a URL for the backend of its bind. Nothing here ever prints the URL, which may contain a password.

use crate::backend::Backend;
use crate::config::sqlite::{SqlitePlace, sqlite_place};
use crate::config::sqlite_locking::{UnsafeParameter, unsafe_parameter};

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
    /// The URL requires TLS, which connections by a URL do not have.
    #[error(
        "it requires TLS, which a connection by a URL does not have: open the connections yourself, with \
         `Source::setup(..)` or a pool of your own"
    )]
    TlsUnsupported,
}

/// Checks a URL, as far as that is possible without a server.
pub(crate) fn check_url(backend: Backend, url: &str) -> Result<(), UrlProblem> {
    let scheme = scheme(url);
    match (backend, scheme) {
        (Backend::Postgres, Some("postgres" | "postgresql") | None) => postgres(url),
        (Backend::Mysql, Some("mysql")) => mysql(url),
        (Backend::Sqlite, Some("sqlite" | "file") | None) => sqlite(url),
        (_, scheme) => Err(UrlProblem::WrongBackend {
            scheme: scheme.unwrap_or("(none)").chars().take(20).collect(),
            backend,
        }),
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
fn postgres(url: &str) -> Result<(), UrlProblem> {
    let config: tokio_postgres::Config = url.parse().map_err(|_| UrlProblem::Invalid {
        backend: Backend::Postgres,
        reason: "not a connection string".into(),
    })?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(UrlProblem::Invalid {
            backend: Backend::Postgres,
            reason: "it names no host".into(),
        });
    }
    if config.get_ssl_mode() == tokio_postgres::config::SslMode::Require {
        return Err(UrlProblem::TlsUnsupported);
    }
    Ok(())
}

#[cfg(feature = "mysql")]
fn mysql(url: &str) -> Result<(), UrlProblem> {
    let invalid = |reason: &str| UrlProblem::Invalid {
        backend: Backend::Mysql,
        reason: reason.into(),
    };
    let options = mysql_async::Opts::from_url(url).map_err(|_| invalid("not a connection URL"))?;
    if options.db_name().is_none_or(str::is_empty) {
        return Err(invalid("it names no database"));
    }
    if options.ssl_opts().is_some() {
        return Err(UrlProblem::TlsUnsupported);
    }
    Ok(())
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
fn postgres(_: &str) -> Result<(), UrlProblem> {
    Ok(())
}

#[cfg(not(feature = "mysql"))]
fn mysql(_: &str) -> Result<(), UrlProblem> {
    Ok(())
}
