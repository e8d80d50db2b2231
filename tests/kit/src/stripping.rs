//! A proxy that answers for its server that it has no TLS.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use url::Url;

/// The request of a client of PostgreSQL for TLS: its length and its code.
const REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// A proxy to a PostgreSQL server. Dropping this value stops it.
pub struct Stripping {
    port: u16,
    accepting: AbortHandle,
}

impl Stripping {
    /// Starts a proxy to the server of this URL.
    pub async fn start(upstream: &str) -> Self {
        let upstream = Url::parse(upstream).expect("the URL of a database is one");
        let upstream = upstream.port().expect("the URL of a server has a port");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, upstream));
            }
        });
        Self {
            port,
            accepting: accepting.abort_handle(),
        }
    }

    /// Returns the URL of the same database, through the proxy.
    pub fn url(&self, direct: &str) -> String {
        let mut url = Url::parse(direct).expect("the URL of a database is one");
        url.set_port(Some(self.port)).expect("it has a host");
        url.into()
    }
}

impl Drop for Stripping {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn pass(mut client: TcpStream, upstream: u16) -> std::io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)).await?;
    let mut first = [0; REQUEST.len()];
    client.read_exact(&mut first).await?;
    match first == REQUEST {
        true => client.write_all(b"N").await?,
        false => server.write_all(&first).await?,
    }
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
