//! Requests to cancel a statement, which take a connection of their own.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_postgres::{CancelToken, NoTls};

use crate::tls::TlsSetting;

/// Sends the request, encrypted as the connection is. `tls` is `None` if the application opened the connection.
pub(super) async fn send(token: CancelToken, tls: Option<TlsSetting>) {
    if let Err(error) = sent(&token, tls).await {
        tracing::debug!(%error, "an abandoned statement could not be cancelled");
    }
}

#[cfg(feature = "tls")]
async fn sent(token: &CancelToken, tls: Option<TlsSetting>) -> Result<(), tokio_postgres::Error> {
    use crate::tls::TlsClient;

    let client = match tls {
        Some(tls) => tls.client,
        // Nothing is verified then, because the settings of the application are not known. The request has the number of
        // a connection that is closed right after, and so does no harm to another one.
        None => {
            let client = TlsClient::unverified();
            let encrypted = token.cancel_query(super::connect::connector(&client)).await;
            // A connection that could not be encrypted either was opened in the clear. With `sslmode=require`, the driver
            // refuses to send the request so.
            return match encrypted {
                Ok(()) => Ok(()),
                Err(_) => token.cancel_query(NoTls).await,
            };
        }
    };
    match client {
        Some(client) => token.cancel_query(super::connect::connector(&client)).await,
        None => token.cancel_query(NoTls).await,
    }
}

#[cfg(not(feature = "tls"))]
async fn sent(token: &CancelToken, _: Option<TlsSetting>) -> Result<(), tokio_postgres::Error> {
    token.cancel_query(NoTls).await
}

/// Returns the number of the server's process that the connection received when it was opened, if it can be found out.
/// Only a request contains it.
///
/// A server sends the number of the process that serves the connection. A pooler has to send a number of its own, because
/// the process changes.
pub(super) async fn process(token: &CancelToken) -> Option<i32> {
    let mut written = Written::default();
    let sent = token.cancel_query_raw(&mut written, InTheClear).await;
    sent.ok()?;
    // The request is the end of what was written: its length, its code, the number and the key, of four bytes each.
    let request: &[u8; 16] = written.0.last_chunk()?;
    Some(i32::from_be_bytes(*request[8..].first_chunk()?))
}

/// A stream that collects the bytes written to it, and accepts a request for TLS.
#[derive(Default)]
struct Written(Vec<u8>);

impl AsyncWrite for Written {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.0.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Written {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        answer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        answer.put_slice(b"S");
        Poll::Ready(Ok(()))
    }
}

/// TLS on such a stream, which encrypts nothing.
struct InTheClear;

struct Plain<'w>(&'w mut Written);

impl<'w> TlsConnect<&'w mut Written> for InTheClear {
    type Stream = Plain<'w>;
    type Error = Infallible;
    type Future = Ready<Result<Plain<'w>, Infallible>>;

    fn connect(self, stream: &'w mut Written) -> Self::Future {
        ready(Ok(Plain(stream)))
    }
}

impl TlsStream for Plain<'_> {
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncWrite for Plain<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Plain<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
