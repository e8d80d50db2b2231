//! Counts round trips that follow one another, over several proxies: their cost in time, without a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest chain of requests of which each was sent after the reply to the one before had arrived.
///
/// Requests that are under way at the same time are one hop, on any number of connections. Therefore the proxies need a
/// delay that is long enough for a client to send all its simultaneous requests.
#[derive(Clone, Debug, Default)]
pub struct Hops {
    arrived: Arc<AtomicUsize>,
}

impl Hops {
    /// Returns the number of hops so far.
    pub fn count(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Returns the hop of a request that is sent now.
    pub(super) fn next(&self) -> usize {
        self.count() + 1
    }

    /// Records the arrival of a reply to a request of this hop.
    pub(super) fn arrive(&self, hop: usize) {
        self.arrived.fetch_max(hop, Ordering::SeqCst);
    }
}
