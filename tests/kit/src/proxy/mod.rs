//! A loopback proxy between a test and its server, which delays, loses and holds back messages.
//!
//! `fault` has the faults and their triggers, `message` the messages of the two protocols. `connection` forwards them,
//! `hops` counts round trips.

mod connection;
mod fault;
mod hops;
mod message;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, lookup_host};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::proxy::fault::Armed;
use crate::proxy::message::Protocol;

pub use crate::proxy::fault::{Fault, Half};
pub use crate::proxy::hops::Hops;

/// A proxy to one server. Dropping it cuts its connections.
///
/// The proxy parses the protocol, so a fault hits a whole message, even if the network splits it. The protocol has to
/// be in clear text: connect without TLS.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: AbortHandle,
}

/// The state that the connections of a proxy share.
struct Shared {
    upstream: Mutex<SocketAddr>,
    protocol: Protocol,
    delay: Mutex<Duration>,
    hops: Mutex<Hops>,
    fault: Mutex<Option<Armed>>,
    fired: watch::Sender<usize>,
    stalled: watch::Sender<bool>,
    refusing: AtomicBool,
    live: Mutex<CancellationToken>,
    connections: AtomicUsize,
    messages: AtomicUsize,
}

impl Proxy {
    /// Starts a proxy to the server of this URL.
    pub async fn start(upstream: &str) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port is free");
        let shared = Arc::new(Shared {
            upstream: Mutex::new(address_of(upstream).await),
            protocol: Protocol::of(upstream.split(':').next().unwrap_or_default()),
            delay: Mutex::default(),
            hops: Mutex::default(),
            fault: Mutex::default(),
            fired: watch::Sender::new(0),
            stalled: watch::Sender::new(false),
            refusing: AtomicBool::new(false),
            live: Mutex::default(),
            connections: AtomicUsize::new(0),
            messages: AtomicUsize::new(0),
        });
        let address = listener.local_addr().expect("the listener is bound");
        let accepting = tokio::spawn(accept(listener, Arc::clone(&shared))).abort_handle();
        Self {
            address,
            shared,
            accepting,
        }
    }

    /// Returns the URL with this proxy in place of its server.
    pub fn url(&self, original: &str) -> String {
        let mut url = Url::parse(original).expect("the original is a URL");
        url.set_ip_host(self.address.ip())
            .and_then(|()| url.set_port(Some(self.address.port())))
            .expect("with a host");
        match self.shared.protocol {
            // Otherwise the driver asks the server for its Unix socket, and bypasses the proxy.
            Protocol::Mysql => url
                .query_pairs_mut()
                .append_pair("prefer_socket", "false")
                .append_pair("require_ssl", "false"),
            // The proxy reads clear text.
            Protocol::Postgres => url.query_pairs_mut().append_pair("sslmode", "disable"),
        };
        url.into()
    }

    /// Leads new connections to the server of this URL. Open connections stay where they are.
    pub async fn lead_to(&self, upstream: &str) {
        let address = address_of(upstream).await;
        *lock(&self.shared.upstream) = address;
    }

    /// Delays everything from now on by this time in each direction, in order: a round trip takes twice as long.
    pub fn delay(&self, delay: Duration) {
        *lock(&self.shared.delay) = delay;
    }

    /// Counts the round trips of new connections in `hops`, together with those of other proxies.
    pub fn count_hops(&self, hops: &Hops) {
        *lock(&self.shared.hops) = hops.clone();
    }

    /// Arms a fault in place of one that has not fired yet. A fault fires once.
    pub fn inject(&self, fault: Fault) {
        *lock(&self.shared.fault) = Some(Armed::new(fault));
    }

    /// Disarms the fault, and returns whether there was one that had not fired.
    pub fn disarm(&self) -> bool {
        lock(&self.shared.fault).take().is_some()
    }

    /// Returns the number of faults that have fired.
    pub fn fired(&self) -> usize {
        *self.shared.fired.borrow()
    }

    /// Waits until this many faults have fired.
    pub async fn wait_fired(&self, count: usize) {
        let mut fired = self.shared.fired.subscribe();
        fired
            .wait_for(|fired| *fired >= count)
            .await
            .expect("the proxy holds the sender");
    }

    /// Stops forwarding in both directions. Connections stay open.
    pub fn stall(&self) {
        self.shared.stalled.send_replace(true);
    }

    /// Ends [`stall`](Self::stall), and forwards the messages that were held back.
    pub fn resume(&self) {
        self.shared.stalled.send_replace(false);
    }

    /// Cuts all live connections, with the messages that are under way on them.
    pub fn cut(&self) {
        std::mem::take(&mut *lock(&self.shared.live)).cancel();
    }

    /// Closes new connections at once, as if the server were down.
    pub fn refuse(&self) {
        self.shared.refusing.store(true, Ordering::SeqCst);
    }

    /// Ends [`refuse`](Self::refuse).
    pub fn accept(&self) {
        self.shared.refusing.store(false, Ordering::SeqCst);
    }

    /// Returns the number of connections so far, without refused ones.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Returns the number of messages from clients so far.
    pub fn messages(&self) -> usize {
        self.shared.messages.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn note_fired(&self) {
        self.fired.send_modify(|fired| *fired += 1);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        if shared.refusing.load(Ordering::SeqCst) {
            continue;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        let live = lock(&shared.live).clone();
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            live.run_until_cancelled_owned(connection::serve(client, shared))
                .await
        });
    }
}

async fn address_of(upstream: &str) -> SocketAddr {
    let url = Url::parse(upstream).expect("the upstream is a URL");
    let (host, port) = (
        url.host_str().expect("with a host"),
        url.port().expect("and a port"),
    );
    let found = lookup_host((host, port)).await.ok();
    found
        .and_then(|mut found| found.next())
        .expect("a known host")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .expect("nothing panics while it holds the lock")
}
