//! Free TCP ports on the loopback interface.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;

use anyhow::{Context, Result};

use crate::workspace;

/// The range of the ports. It is below the ports of outgoing connections, so that none of those can take the port of a
/// server between a kill and a restart.
const RANGE: Range<u16> = 20_000..30_000;

/// Returns a port that nothing listens on, and that is not one of `taken`. The search begins at a place that depends on
/// the workspace, so that two checkouts rarely collide.
pub(crate) fn free(taken: &[u16]) -> Result<u16> {
    let mut hasher = DefaultHasher::new();
    workspace::root().hash(&mut hasher);
    let length = u64::from(RANGE.end - RANGE.start);
    let offset = u16::try_from(hasher.finish() % length).expect("the range is shorter than u16");
    let first = RANGE.start + offset;
    (first..RANGE.end)
        .chain(RANGE.start..first)
        .find(|port| !taken.contains(port) && is_free(*port))
        .context("no TCP port is free on the loopback interface")
}

/// Returns whether a server could listen on this port now.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_free_port_is_neither_taken_nor_listened_on() {
        // Another process may begin to listen there before this one does.
        let (first, listener) = loop {
            let port = free(&[]).unwrap();
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                break (port, listener);
            }
        };
        let second = free(&[]).unwrap();
        let third = free(&[second]).unwrap();
        drop(listener);
        assert!(first != second && second != third && first != third);
    }
}
