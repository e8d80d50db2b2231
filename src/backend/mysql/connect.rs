//! Opening a connection by a URL, encrypted as the URL says.

#[cfg(feature = "tls")]
use std::sync::Arc;

use diesel::{ConnectionError, ConnectionResult};
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection};
use mysql_async::{Conn, Opts, OptsBuilder};

use crate::tls::{Host, TlsSetting};
#[cfg(feature = "tls")]
use {
    crate::tls::{Material, TlsMode, install},
    mysql_async::{ClientIdentity, DriverError, Error, IoError, SslOpts, TlsError},
    parking_lot::Mutex,
    std::time::{Duration, Instant},
};

/// Returns the settings of the driver. `None` if it cannot read the URL.
pub(crate) fn options(url: &str) -> Option<Opts> {
    let options = Opts::from_url(url).ok()?;
    Some(match address(&options) {
        Some(address) => OptsBuilder::from_opts(options)
            .ip_or_hostname(address)
            .into(),
        None => options,
    })
}

/// Returns the address of IPv6, if the host is one. The driver looks it up with its brackets.
fn address(options: &Opts) -> Option<String> {
    let address = options.ip_or_hostname();
    let address = address.strip_prefix('[')?.strip_suffix(']')?;
    Some(address.to_owned())
}

/// Returns the host.
pub(crate) fn host(options: &Opts) -> Host {
    match options.socket() {
        Some(_) => Host::Socket,
        None => Host::Named(options.ip_or_hostname().to_owned()),
    }
}

/// The way to open the connections of one bind.
pub(crate) struct Opener {
    url: String,
    #[cfg(feature = "tls")]
    tls: TlsSetting,
    /// The driver's settings, and the files that they were made of. The driver makes one client of each settings.
    #[cfg(feature = "tls")]
    encrypted: Mutex<Option<(Arc<Material>, Opts)>>,
    /// When the server last had no TLS.
    #[cfg(feature = "tls")]
    without: Mutex<Option<Instant>>,
}

impl Opener {
    /// Returns the way for a URL that was checked.
    pub(crate) fn new(url: String, tls: Option<TlsSetting>) -> Self {
        #[cfg(not(feature = "tls"))]
        let _ = tls;
        Self {
            url,
            #[cfg(feature = "tls")]
            tls: tls.expect("the URL was checked"),
            #[cfg(feature = "tls")]
            encrypted: Mutex::default(),
            #[cfg(feature = "tls")]
            without: Mutex::default(),
        }
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> ConnectionResult<AsyncMysqlConnection> {
        #[cfg(feature = "tls")]
        if let Some(options) = self.encrypted() {
            match Conn::new(options).await {
                Ok(connection) => return AsyncMysqlConnection::try_from(connection).await,
                Err(Error::Driver(DriverError::NoClientSslFlagFromServer))
                    if self.tls.mode == TlsMode::Prefer =>
                {
                    *self.without.lock() = Some(Instant::now());
                }
                Err(error) => return Err(ConnectionError::BadConnection(explained(&error))),
            }
        }
        let options = options(&self.url).expect("the URL was checked");
        if options.ip_or_hostname().contains(':') {
            let connected = Conn::new(as_diesel(options)).await;
            let connection =
                connected.map_err(|error| ConnectionError::BadConnection(error.to_string()))?;
            return AsyncMysqlConnection::try_from(connection).await;
        }
        AsyncMysqlConnection::establish(&self.url).await
    }

    /// Returns the driver's settings with TLS. `None` if the connection is to be in the clear.
    #[cfg(feature = "tls")]
    fn encrypted(&self) -> Option<Opts> {
        let material = self.tls.client.as_ref()?.material();
        // The driver cannot ask and go on: each question costs a connection.
        if self
            .without
            .lock()
            .is_some_and(|at| at.elapsed() < REMEMBERED)
        {
            return None;
        }
        install();
        let mut encrypted = self.encrypted.lock();
        if let Some((of, options)) = &*encrypted
            && Arc::ptr_eq(of, &material)
        {
            return Some(options.clone());
        }
        let options = options(&self.url).expect("the URL was checked");
        let options = as_diesel(options)
            // Without a change to the Unix socket of the server, which has no TLS.
            .prefer_socket(false)
            .ssl_opts(ssl(self.tls.mode, &material));
        let options = Opts::from(options);
        *encrypted = Some((material, options.clone()));
        Some(options)
    }
}

/// Returns the settings that diesel-async makes for a URL.
fn as_diesel(options: Opts) -> OptsBuilder {
    OptsBuilder::from_opts(options)
        .stmt_cache_size(0)
        .client_found_rows(true)
}

/// The time after which a server that had no TLS is asked again.
#[cfg(feature = "tls")]
const REMEMBERED: Duration = Duration::from_secs(60);

/// A name that no certificate is for. The driver skips the check of the host only if the text of its failure contains this
/// word, which it did with an earlier rustls. The text repeats the name that was checked.
#[cfg(feature = "tls")]
const UNCHECKED: &str = "NotValidForName";

#[cfg(feature = "tls")]
fn ssl(mode: TlsMode, material: &Material) -> SslOpts {
    let authorities = material.authorities.iter();
    let roots = authorities.flat_map(|of| of.certificates.iter().map(|root| root.to_vec().into()));
    let identity = material.identity.as_ref().and_then(|identity| {
        let key = identity.rsa_key()?.to_vec();
        Some(ClientIdentity::new(
            identity.chain.clone().into(),
            key.into(),
        ))
    });
    let options = SslOpts::default()
        .with_root_certs(roots.collect())
        // The driver makes no client without root certificates, even if it verifies nothing.
        .with_disable_built_in_roots(material.authorities.is_some())
        .with_client_identity(identity);
    match mode {
        TlsMode::VerifyFull => options,
        TlsMode::VerifyCa => options
            .with_danger_skip_domain_validation(true)
            .with_danger_tls_hostname_override(Some(UNCHECKED)),
        TlsMode::Disable | TlsMode::Prefer | TlsMode::Require => {
            options.with_danger_accept_invalid_certs(true)
        }
    }
}

#[cfg(feature = "tls")]
fn explained(error: &Error) -> String {
    let refused = match error {
        Error::Driver(DriverError::NoClientSslFlagFromServer) => {
            return "the server offers no TLS, and `ssl-mode` does not allow a connection without"
                .into();
        }
        Error::Io(IoError::Tls(TlsError::Tls(refused))) => Some(refused),
        // rustls hands out a refusal inside of an error of the network.
        Error::Io(IoError::Io(network)) => network.get_ref().and_then(|of| of.downcast_ref()),
        _ => None,
    };
    match refused {
        Some(rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)) => {
            "the certificate of the server was refused: no authority that is trusted here has signed it (`ssl-ca`)".into()
        }
        Some(rustls::Error::InvalidCertificate(refusal)) => {
            format!("the certificate of the server was refused: {refusal}")
        }
        _ => error.to_string(),
    }
}
