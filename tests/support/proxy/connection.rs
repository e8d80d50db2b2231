//! One connection through the proxy: forwards both directions, and carries out the fault.

use std::future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use crate::support::proxy::fault::{Effect, Fault, Moment, Trigger};
use crate::support::proxy::hops::Hops;
use crate::support::proxy::message::{Acts, Message, Reader, contains};
use crate::support::proxy::{Shared, lock};

/// How long the server may take to act on what was forwarded and to end the session.
const SESSION_END: Duration = Duration::from_secs(10);

/// What the proxy does next in one direction.
enum Step {
    Forward(Vec<u8>),
    Fault(Fault),
}

/// The steps of one direction, each with the time when it is due.
type Steps<T> = mpsc::UnboundedReceiver<(Instant, T)>;

/// Forwards until both sides are done or a fault fires. Dropping the future cuts the connection.
pub(super) async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let Ok(mut server) = TcpStream::connect(shared.upstream).await else {
        return;
    };
    // Without this, small messages wait for acknowledgements, and the delay is no longer the one that was set.
    if client
        .set_nodelay(true)
        .and_then(|()| server.set_nodelay(true))
        .is_err()
    {
        return;
    }
    let fault = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let reader = Mutex::new(Reader::new(shared.protocol));
        let hops = lock(&shared.hops).clone();
        let hop = AtomicUsize::new(0);
        let (requests, due_requests) = mpsc::unbounded_channel();
        let (replies, due_replies) = mpsc::unbounded_channel();
        let both = async {
            tokio::join!(
                read_requests(from_client, &reader, &shared, (&hops, &hop), requests),
                read_replies(from_server, &reader, &shared, &hop, replies),
                write_replies(to_client, &shared, &hops, due_replies),
            )
        };
        tokio::select! {
            fault = write_requests(to_server, &shared, due_requests) => fault,
            // Both sides have closed the connection.
            _ = both => None,
        }
    };
    if let Some(fault) = fault {
        carry_out(&fault, &shared, server).await;
    }
}

/// Reads what the client sends, tells messages apart and finds the one that the fault waits for.
async fn read_requests(
    mut client: impl AsyncRead + Unpin,
    reader: &Mutex<Reader>,
    shared: &Shared,
    (hops, hop): (&Hops, &AtomicUsize),
    steps: mpsc::UnboundedSender<(Instant, Step)>,
) {
    let mut buffer = Vec::new();
    // A fault after a message on which the server acts later.
    let mut due_at_sync = None;
    while let Ok(1..) = client.read_buf(&mut buffer).await {
        hop.store(hops.next(), Ordering::SeqCst);
        let due = Instant::now() + *lock(&shared.delay);
        while let Some(bytes) = shared.protocol.split(&mut buffer) {
            shared.messages.fetch_add(1, Ordering::SeqCst);
            let message = lock(reader).request(&bytes);
            let mut then = None;
            match fault_at(shared, &message) {
                Some((fault, _)) if fault.moment == Moment::Before => {
                    let _ = steps.send((due, Step::Fault(fault)));
                    // Reads nothing more, but does not report an end of the requests either.
                    return future::pending().await;
                }
                Some((fault, Acts::AtSync)) => due_at_sync = Some(fault),
                Some((fault, Acts::AtOnce)) => then = Some(fault),
                None if message == Message::Sync => then = due_at_sync.take(),
                None => {}
            }
            let _ = steps.send((due, Step::Forward(bytes)));
            if let Some(fault) = then {
                let _ = steps.send((due, Step::Fault(fault)));
                return future::pending().await;
            }
        }
    }
}

/// The fault, if this is its message; it is disarmed then.
fn fault_at(shared: &Shared, message: &Message) -> Option<(Fault, Acts)> {
    let mut armed = lock(&shared.fault);
    let acts = match (armed.as_ref()?.trigger(), message) {
        (Trigger::Any, _) => Acts::AtOnce,
        (Trigger::Execution(needle), Message::Execute { contents, acts })
            if contains(contents, needle) =>
        {
            *acts
        }
        _ => return None,
    };
    if armed.as_mut()?.count() {
        armed.take().map(|armed| (armed.fault, acts))
    } else {
        None
    }
}

/// Writes requests when they are due; returns the fault at which to stop.
async fn write_requests(
    mut server: impl AsyncWrite + Unpin,
    shared: &Shared,
    mut steps: Steps<Step>,
) -> Option<Fault> {
    while let Some((due, step)) = steps.recv().await {
        wait_for(due, shared).await;
        match step {
            Step::Forward(bytes) => server.write_all(&bytes).await.ok()?,
            Step::Fault(fault) => return Some(fault),
        }
    }
    // The client is done; the replies may not be.
    server.shutdown().await.ok()?;
    future::pending().await
}

async fn read_replies(
    mut server: impl AsyncRead + Unpin,
    reader: &Mutex<Reader>,
    shared: &Shared,
    hop: &AtomicUsize,
    steps: mpsc::UnboundedSender<(Instant, (usize, Vec<u8>))>,
) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    while let Ok(1..) = server.read_buf(&mut buffer).await {
        lock(reader).reply(&buffer);
        let _ = steps.send((
            Instant::now() + *lock(&shared.delay),
            (hop.load(Ordering::SeqCst), std::mem::take(&mut buffer)),
        ));
    }
}

async fn write_replies(
    mut client: impl AsyncWrite + Unpin,
    shared: &Shared,
    hops: &Hops,
    mut steps: Steps<(usize, Vec<u8>)>,
) -> io::Result<()> {
    while let Some((due, (hop, bytes))) = steps.recv().await {
        wait_for(due, shared).await;
        hops.arrive(hop);
        client.write_all(&bytes).await?;
    }
    client.shutdown().await
}

async fn wait_for(due: Instant, shared: &Shared) {
    // Also when it is past: a timer of zero length costs up to a millisecond.
    if due > Instant::now() {
        sleep_until(due).await;
    }
    if *shared.stalled.borrow() {
        let mut stalled = shared.stalled.subscribe();
        let _ = stalled.wait_for(|stalled| !stalled).await;
    }
}

/// Ends the connection as the fault says. The client's side is dropped, and so cut, when this returns.
async fn carry_out(fault: &Fault, shared: &Shared, mut server: TcpStream) {
    shared.fired.send_modify(|fired| *fired += 1);
    if fault.effect == Effect::Stall {
        // Until the proxy cuts the connection.
        return future::pending().await;
    }
    // Says to the server that the client is gone, and takes its last replies: closed with replies unread, the
    // connection would be reset, and the server could lose requests that were forwarded before.
    let end_session = async {
        server.shutdown().await?;
        tokio::io::copy(&mut server, &mut tokio::io::sink()).await
    };
    let _ = timeout(SESSION_END, end_session).await;
}
