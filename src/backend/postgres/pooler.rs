//! Detection of a pooler in front of PostgreSQL, which gives connections numbers of its own.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use diesel_async::AsyncPgConnection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::NoTls;

/// Returns the number of the server process that the connection received when it was opened, if it can be found out.
///
/// A server sends the number of the process that serves the connection. A pooler has to send a number of its own,
/// because the process changes.
pub(super) async fn announced_process(connection: &AsyncPgConnection) -> Option<i32> {
    // Only the request to cancel contains the number, and only its bytes are accessible.
    let (token, mut request) = (connection.cancel_token(), Written::default());
    let written = token.cancel_query_raw(&mut request, NoTls).await;
    written.ok()?;
    // The length and the code of the request precede it.
    let number = request.0.get(8..12)?;
    Some(i32::from_be_bytes(number.try_into().ok()?))
}

/// A stream that collects the bytes written to it.
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
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
