//! Ports for servers of a test's own.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU16, Ordering};

/// Below the ports that the system gives to outgoing connections, which could take one before the server listens, or while
/// it is down; and below those of the servers that all tests share.
const RANGE: Range<u16> = 10_000..20_000;

/// A port that nobody listens on, and that no other caller of the process was given.
pub fn free() -> u16 {
    static NEXT: LazyLock<AtomicU16> = LazyLock::new(|| AtomicU16::new(fastrand::u16(RANGE)));

    std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
        .map(|count| RANGE.start + count % (RANGE.end - RANGE.start))
        .take(RANGE.len())
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a port is free")
}
