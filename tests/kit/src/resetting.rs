//! A proxy before MariaDB that resets a session, as a proxy does that lends sessions to one client after the other.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use url::Url;

use crate::rerouting::{framed, packet};

/// The command that resets a session: the server forgets prepared statements and settings.
const RESET_CONNECTION: u8 = 0x1f;

/// A proxy that resets the session before the next message with certain bytes, once it was asked to. Dropping this value
/// ends the proxy.
pub struct Resetting {
    address: SocketAddr,
    accepting: AbortHandle,
    armed: Arc<AtomicBool>,
}

impl Resetting {
    /// Starts a proxy for the server of this URL.
    pub async fn start(upstream: &str, before: &'static [u8]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let port = Url::parse(upstream)
            .ok()
            .and_then(|url| url.port())
            .expect("the upstream is a URL with a port");
        let armed = Arc::new(AtomicBool::new(false));
        let reset = Arc::clone(&armed);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, port, before, Arc::clone(&reset)));
            }
        });
        Self {
            address,
            accepting: accepting.abort_handle(),
            armed,
        }
    }

    /// Returns the URL with this proxy in place of its server.
    pub fn url(&self, original: &str) -> String {
        let mut url = Url::parse(original).expect("the original is a URL");
        url.set_port(Some(self.address.port()))
            .expect("with a host");
        // Otherwise the driver goes on over the Unix socket of the server, and bypasses the proxy.
        url.query_pairs_mut()
            .append_pair("prefer_socket", "false")
            .append_pair("require_ssl", "false");
        url.into()
    }

    /// Resets the session at the next message with the bytes.
    pub fn reset(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Returns whether the session was reset since then.
    pub fn has_reset(&self) -> bool {
        !self.armed.load(Ordering::SeqCst)
    }
}

impl Drop for Resetting {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut client: TcpStream,
    port: u16,
    before: &'static [u8],
    armed: Arc<AtomicBool>,
) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let (mut first, mut replies) = ([0], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            // Cancel safety: `peek` takes nothing.
            read = client.peek(&mut first) => {
                if read? == 0 {
                    return Ok(());
                }
                let request = packet(&mut client).await?;
                let is_there = request.windows(before.len()).any(|bytes| bytes == before);
                if is_there && armed.swap(false, Ordering::SeqCst) {
                    server.write_all(&framed(0, &[RESET_CONNECTION])).await?;
                    packet(&mut server).await?;
                }
                server.write_all(&request).await?;
            }
            read = server.read(&mut replies) => match read? {
                0 => return Ok(()),
                length => client.write_all(&replies[..length]).await?,
            },
        }
    }
}
