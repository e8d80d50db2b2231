//! One connection through the proxy: forwards both directions, and executes the fault.

use std::future;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::proxy::fault::{Effect, Fault, Half, Moment, Trigger};
use crate::proxy::hops::Hops;
use crate::proxy::message::{Acts, Message, Reader, contains};
use crate::proxy::{Shared, lock};

/// The longest time for the server to act on the forwarded messages and to end the session.
const SESSION_END: Duration = Duration::from_secs(10);

/// The next step of the proxy in one direction.
enum Step {
    Forward(Vec<u8>),
    Fault(Fault),
}

/// The state that the two directions of a connection share.
struct Line<'a> {
    shared: &'a Shared,
    reader: Mutex<Reader>,
    hops: Hops,
    /// The number of the last request.
    hop: AtomicUsize,
    /// The delay of replies, in addition to the delay of all messages.
    late: Mutex<Duration>,
    /// The state in which nothing more is written to the client.
    deaf: CancellationToken,
}

/// The steps of one direction, each with the time when it is due.
type Steps<T> = mpsc::UnboundedReceiver<(Instant, T)>;

/// Forwards until both sides are done or a fault fires. Dropping the future cuts the connection.
pub(super) async fn serve(mut client: TcpStream, shared: Arc<Shared>) {
    let upstream = *lock(&shared.upstream);
    let Ok(mut server) = TcpStream::connect(upstream).await else {
        return;
    };
    // Without this, small messages wait for acknowledgements, which would lengthen the delay of the test.
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
        let line = Line {
            shared: &shared,
            reader: Mutex::new(Reader::new(shared.protocol)),
            hops: lock(&shared.hops).clone(),
            hop: AtomicUsize::new(0),
            late: Mutex::default(),
            deaf: CancellationToken::new(),
        };
        let (requests, due_requests) = mpsc::unbounded_channel();
        let (replies, due_replies) = mpsc::unbounded_channel();
        let both = async {
            tokio::join!(
                read_requests(from_client, &line, requests),
                read_replies(from_server, &line, replies),
                write_replies(to_client, &line, due_replies),
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

/// Reads the client's requests, splits them into messages, and finds the message that the fault waits for.
async fn read_requests(
    mut client: impl AsyncRead + Unpin,
    line: &Line<'_>,
    steps: mpsc::UnboundedSender<(Instant, Step)>,
) {
    let shared = line.shared;
    let mut buffer = Vec::new();
    // A fault after a message that the server executes later.
    let mut due_at_sync = None;
    let mut late = Duration::ZERO;
    while let Ok(1..) = client.read_buf(&mut buffer).await {
        line.hop.store(line.hops.next(), Ordering::SeqCst);
        let arrival = Instant::now() + *lock(&shared.delay);
        while let Some(mut bytes) = shared.protocol.split(&mut buffer) {
            shared.messages.fetch_add(1, Ordering::SeqCst);
            let message = lock(&line.reader).request(&bytes);
            let mut then = None;
            match fault_at(shared, &message) {
                Some((fault, _)) if fault.moment == Moment::Before => match fault.effect {
                    Effect::Delay(time) => {
                        late += time;
                        shared.note_fired();
                    }
                    Effect::RollBackBehind(count) => {
                        if let Some(spliced) = shared.protocol.roll_back_within(&bytes, count) {
                            bytes = spliced;
                            shared.note_fired();
                        }
                    }
                    _ => return strike(fault, client, line, (arrival + late, steps)).await,
                },
                Some((fault, Acts::AtSync)) => due_at_sync = Some(fault),
                Some((fault, Acts::AtOnce)) => then = Some(fault),
                None if message == Message::Sync => then = due_at_sync.take(),
                None => {}
            }
            let due = arrival + late;
            match then {
                None => {
                    let _ = steps.send((due, Step::Forward(bytes)));
                }
                Some(fault) => {
                    if let Effect::Delay(time) = fault.effect {
                        *lock(&line.late) += time;
                        shared.note_fired();
                    }
                    let _ = steps.send((due, Step::Forward(bytes)));
                    if !matches!(fault.effect, Effect::Delay(_)) {
                        return strike(fault, client, line, (due, steps)).await;
                    }
                }
            }
        }
    }
}

/// Ends the requests according to the fault. When this function returns, the server sees the end of the requests.
async fn strike(
    fault: Fault,
    mut client: impl AsyncRead + Unpin,
    line: &Line<'_>,
    (due, steps): (Instant, mpsc::UnboundedSender<(Instant, Step)>),
) {
    match fault.effect {
        Effect::HalfClose(Half::ToServer) => line.shared.note_fired(),
        Effect::HalfClose(Half::ToClient) => {
            line.shared.note_fired();
            line.deaf.cancel();
            let _ = tokio::io::copy(&mut client, &mut tokio::io::sink()).await;
        }
        Effect::Cut | Effect::Stall | Effect::Delay(_) | Effect::RollBackBehind(_) => {
            let _ = steps.send((due, Step::Fault(fault)));
            // Reads nothing more. A return would signal the end of the requests to the server.
            future::pending().await
        }
    }
}

/// Returns the fault if this is its message, and disarms it.
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

/// Writes requests when they are due. Returns the fault at which to stop.
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
    // The client is done, but replies may still come.
    server.shutdown().await.ok()?;
    future::pending().await
}

async fn read_replies(
    mut server: impl AsyncRead + Unpin,
    line: &Line<'_>,
    steps: mpsc::UnboundedSender<(Instant, (usize, Vec<u8>))>,
) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    while let Ok(1..) = server.read_buf(&mut buffer).await {
        lock(&line.reader).reply(&buffer);
        let late = *lock(&line.shared.delay) + *lock(&line.late);
        let hop = line.hop.load(Ordering::SeqCst);
        let _ = steps.send((Instant::now() + late, (hop, std::mem::take(&mut buffer))));
    }
}

async fn write_replies(
    mut client: impl AsyncWrite + Unpin,
    line: &Line<'_>,
    mut steps: Steps<(usize, Vec<u8>)>,
) -> io::Result<()> {
    let writing = async {
        while let Some((due, (hop, bytes))) = steps.recv().await {
            wait_for(due, line.shared).await;
            line.hops.arrive(hop);
            client.write_all(&bytes).await?;
        }
        io::Result::Ok(())
    };
    if let Some(written) = line.deaf.run_until_cancelled(writing).await {
        written?;
    }
    client.shutdown().await
}

async fn wait_for(due: Instant, shared: &Shared) {
    // Skips the timer if the time is past: a timer of zero length costs up to a millisecond.
    if due > Instant::now() {
        sleep_until(due).await;
    }
    if *shared.stalled.borrow() {
        let mut stalled = shared.stalled.subscribe();
        let _ = stalled.wait_for(|stalled| !stalled).await;
    }
}

/// Ends the connection according to the fault. The client's side is dropped, and so cut, when this returns.
async fn carry_out(fault: &Fault, shared: &Shared, mut server: TcpStream) {
    shared.note_fired();
    if fault.effect == Effect::Stall {
        // Waits until the proxy cuts the connection.
        return future::pending().await;
    }
    // Closes the direction to the server and reads its last replies. Closing the socket with unread replies would reset
    // the connection, and the server could lose requests that were forwarded before.
    let end_session = async {
        server.shutdown().await?;
        tokio::io::copy(&mut server, &mut tokio::io::sink()).await
    };
    let _ = timeout(SESSION_END, end_session).await;
}
