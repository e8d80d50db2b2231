//! Opening a connection by a URL.

use diesel::ConnectionResult;
use diesel_async::{AsyncConnection as _, AsyncMysqlConnection};
use mysql_async::Opts;

use crate::tls::Host;

/// Returns the settings of the driver. `None` if it cannot read the URL.
pub(crate) fn options(url: &str) -> Option<Opts> {
    Opts::from_url(url).ok()
}

/// Returns the host.
pub(crate) fn host(options: &Opts) -> Host {
    match options.socket() {
        Some(_) => Host::Socket,
        None => Host::Named,
    }
}

/// The way to open the connections of one bind.
pub(crate) struct Opener {
    url: String,
}

impl Opener {
    /// Returns the way for a URL that was checked.
    pub(crate) fn new(url: String) -> Self {
        Self { url }
    }

    /// Opens a connection.
    pub(crate) async fn open(&self) -> ConnectionResult<AsyncMysqlConnection> {
        AsyncMysqlConnection::establish(&self.url).await
    }
}
