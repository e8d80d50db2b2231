//! Opening a connection by a URL, with an error that contains its cause, which diesel-async leaves out.

use std::error::Error as _;
use std::io;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use tokio_postgres::NoTls;
use tokio_postgres::config::{Config, Host as ConfigHost, SslMode};
use tokio_postgres::error::DbError;

use crate::tls::{Host, TlsMode, TlsSetting};

/// Returns the settings of the driver. `None` if it cannot read the URL.
pub(crate) fn config(url: &str) -> Option<Config> {
    url.parse().ok()
}

/// Returns the host. Of several, one that needs TLS more than a socket does. `None` if there is none.
pub(crate) fn host(config: &Config) -> Option<Host> {
    let hosts = config.get_hosts().iter().map(|host| match host {
        ConfigHost::Tcp(_) => Host::Named,
        #[cfg(unix)]
        ConfigHost::Unix(_) => Host::Socket,
    });
    let addresses = config.get_hostaddrs().iter().map(|_| Host::Unnamed);
    hosts
        .chain(addresses)
        .min_by_key(|host| *host == Host::Socket)
}

/// The way to open the connections of one bind.
pub(crate) struct Opener(Config);

impl Opener {
    /// Returns the way for a URL that was checked.
    pub(crate) fn new(url: &str, tls: Option<TlsSetting>) -> Self {
        let (Some(mut config), Some(tls)) = (config(url), tls) else {
            unreachable!("the URL was checked");
        };
        config.ssl_mode(match tls.mode {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Require | TlsMode::VerifyCa | TlsMode::VerifyFull => SslMode::Require,
        });
        Self(config)
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> ConnectionResult<AsyncPgConnection> {
        let (client, connection) = self
            .0
            .connect(NoTls)
            .await
            .map_err(|error| ConnectionError::BadConnection(with_cause(&error)))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }
}

/// Returns the error with the cause that the network or the server gave. The cause of a mistake in a URL is left out:
/// it may contain a part of the password.
fn with_cause(error: &tokio_postgres::Error) -> String {
    let cause = error.source();
    match cause.filter(|cause| cause.is::<io::Error>() || cause.is::<DbError>()) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
