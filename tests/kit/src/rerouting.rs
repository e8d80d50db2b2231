//! A proxy before MariaDB that loses its server and goes on with another session, as a proxy does that shares sessions
//! between clients.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use url::Url;

/// The flag of a reply that another reply follows.
const MORE_RESULTS: u16 = 0x0008;

/// A proxy that forwards a message with certain bytes, and then reports that the server was lost. Later messages go to
/// another session, on which a unit has run before. Dropping this value ends the proxy.
pub struct Rerouting {
    address: SocketAddr,
    accepting: AbortHandle,
}

impl Rerouting {
    /// Starts a proxy for the server of this URL, for an account without a password.
    pub async fn start(upstream: &str, lost_at: &'static [u8]) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let address = listener.local_addr().expect("the listener is bound");
        let port = Url::parse(upstream)
            .ok()
            .and_then(|url| url.port())
            .expect("the upstream is a URL with a port");
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, port, lost_at));
            }
        });
        Self {
            address,
            accepting: accepting.abort_handle(),
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
}

impl Drop for Rerouting {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(mut client: TcpStream, port: u16, lost_at: &'static [u8]) -> io::Result<()> {
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    client.write_all(&packet(&mut server).await?).await?;
    // Without a password, the packet depends on nothing in the greeting, and is valid for another session.
    let credentials = packet(&mut client).await?;
    server.write_all(&credentials).await?;
    let (mut first, mut replies) = ([0], vec![0; 64 * 1024]);
    loop {
        tokio::select! {
            // Cancel safety: `peek` takes nothing.
            read = client.peek(&mut first) => {
                if read? == 0 {
                    return Ok(());
                }
                let request = packet(&mut client).await?;
                server.write_all(&request).await?;
                if !request.windows(lost_at.len()).any(|bytes| bytes == lost_at) {
                    continue;
                }
                while more_follows(&packet(&mut server).await?) {}
                server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
                packet(&mut server).await?;
                server.write_all(&credentials).await?;
                packet(&mut server).await?;
                server.write_all(&query("SET @diesel_binds_autocommit = 1")).await?;
                packet(&mut server).await?;
                client.write_all(&framed(1, b"\xff\xdd\x07#HY000Lost connection to server during query")).await?;
            }
            read = server.read(&mut replies) => match read? {
                0 => return Ok(()),
                length => client.write_all(&replies[..length]).await?,
            },
        }
    }
}

/// Reads one packet, with its header.
pub(crate) async fn packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    stream.read_exact(&mut bytes).await?;
    let length = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], 0]);
    bytes.resize(4 + length as usize, 0);
    stream.read_exact(&mut bytes[4..]).await?;
    Ok(bytes)
}

/// Returns whether another reply follows. The reply must confirm a statement that changed few rows and made no long
/// key.
fn more_follows(reply: &[u8]) -> bool {
    matches!(reply, [_, _, _, _, 0, _, _, low, high, ..] if u16::from_le_bytes([*low, *high]) & MORE_RESULTS != 0)
}

fn query(text: &str) -> Vec<u8> {
    framed(0, &[b"\x03", text.as_bytes()].concat())
}

pub(crate) fn framed(number: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a packet is short");
    let [low, middle, high, _] = length.to_le_bytes();
    [&[low, middle, high, number], payload].concat()
}
