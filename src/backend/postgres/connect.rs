//! Opening a connection by a URL, encrypted as the URL says, with an error that contains its cause, which diesel-async leaves out.

use std::error::Error as _;
use std::io;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::AsyncPgConnection;
use tokio_postgres::config::{Config, Host as ConfigHost, SslMode};
use tokio_postgres::error::{DbError, SqlState};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{NoTls, Socket};

use crate::tls::{Host, TlsMode, TlsSetting};

/// Returns the settings of the driver. `None` if it cannot read the URL.
pub(crate) fn config(url: &str) -> Option<Config> {
    url.parse().ok()
}

/// Returns the host. Of several, one that needs TLS more than a socket does. `None` if there is none.
pub(crate) fn host(config: &Config) -> Option<Host> {
    let hosts = config.get_hosts().iter().map(|host| match host {
        ConfigHost::Tcp(name) => Host::Named(name.clone()),
        #[cfg(unix)]
        ConfigHost::Unix(_) => Host::Socket,
    });
    let addresses = config.get_hostaddrs().iter();
    let addresses = addresses.map(|address| Host::Unnamed(address.to_string()));
    hosts
        .chain(addresses)
        .min_by_key(|host| *host == Host::Socket)
}

/// The way to open the connections of one bind.
pub(crate) struct Opener {
    config: Config,
    tls: TlsSetting,
}

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
        if config.get_hosts().is_empty() {
            // The driver refuses TLS without the name of a host. A mode that verifies the host is refused before.
            for address in config.get_hostaddrs().to_vec() {
                config.host(address.to_string());
            }
        }
        Self { config, tls }
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> ConnectionResult<AsyncPgConnection> {
        #[cfg(feature = "tls")]
        if let Some(client) = &self.tls.client {
            return self.connect(connector(client)).await;
        }
        self.connect(NoTls).await
    }

    async fn connect<T>(&self, tls: T) -> ConnectionResult<AsyncPgConnection>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
    {
        let connected = self.config.connect(tls).await;
        let (client, connection) = connected
            .map_err(|error| ConnectionError::BadConnection(explained(&error, self.tls.mode)))?;
        AsyncPgConnection::try_from_client_and_connection(client, connection).await
    }
}

/// Returns the connector of the driver.
#[cfg(feature = "tls")]
pub(super) fn connector(
    client: &crate::tls::TlsClient,
) -> tokio_postgres_rustls::MakeRustlsConnect {
    let mut config = (*client.material().config).clone();
    // As libpq does. A server of version 17 demands it if TLS begins at once (`sslnegotiation=direct`).
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    tokio_postgres_rustls::MakeRustlsConnect::new(config)
}

/// Returns the error with the cause that the network, the server or TLS gave, and what to do about it. The cause of a
/// mistake in a URL is left out: it may contain a part of the password.
fn explained(error: &tokio_postgres::Error, mode: TlsMode) -> String {
    let cause = error.source();
    // The driver has no other sign of it than this text.
    if cause.is_some_and(|cause| cause.to_string() == "server does not support TLS") {
        return "the server offers no TLS, and `sslmode` does not allow a connection without"
            .into();
    }
    #[cfg(feature = "tls")]
    if let Some(refusal) = cause.and_then(refusal) {
        return format!("the certificate of the server was refused: {refusal}");
    }
    let message = match cause.filter(|cause| cause.is::<io::Error>() || cause.is::<DbError>()) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    // A server has one code for every connection that its rules refuse.
    let is_refused = error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION);
    match is_refused && !mode.is_encrypted() {
        true => format!(
            "{message} (if the server takes encrypted connections only, use `sslmode=require` or stricter)"
        ),
        false => message,
    }
}

/// Returns why a certificate of a server was refused.
#[cfg(feature = "tls")]
fn refusal(cause: &(dyn std::error::Error + 'static)) -> Option<String> {
    let network: &io::Error = cause.downcast_ref()?;
    match network.get_ref()?.downcast_ref()? {
        rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer) => {
            Some("no authority that is trusted here has signed it (`sslrootcert`)".into())
        }
        rustls::Error::InvalidCertificate(refusal) => Some(refusal.to_string()),
        _ => None,
    }
}
