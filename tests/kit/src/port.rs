//! Ports for the servers that a test starts.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// The range of the ports, below the ports of the servers that all tests share. It is also below the ports of outgoing
/// connections, which could take one while the server does not listen.
const RANGE: Range<u16> = 10_000..20_000;

/// Returns a port that nothing listens on, and that no other caller in this process has got.
pub fn free() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(RANGE)));

    std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
        .map(|count| RANGE.start + count % (RANGE.end - RANGE.start))
        .take(RANGE.len())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a port is free")
}
