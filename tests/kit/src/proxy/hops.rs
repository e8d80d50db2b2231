//! Counts round trips that follow one another, over several proxies: what they cost in time, without a clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The longest chain of requests of which each was sent after a reply to the one before had arrived.
///
/// Requests that are under way at once are one hop, on however many connections: so it needs a delay in the proxies,
/// long enough for a client to send all that it sends at once.
#[derive(Clone, Debug, Default)]
pub struct Hops {
    arrived: Arc<AtomicUsize>,
}

impl Hops {
    /// How many there were so far.
    pub fn count(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// The hop that a request sent now belongs to.
    pub(super) fn next(&self) -> usize {
        self.count() + 1
    }

    /// A reply to a request of this hop arrives.
    pub(super) fn arrive(&self, hop: usize) {
        self.arrived.fetch_max(hop, Ordering::SeqCst);
    }
}
