//! A pool's connection that a unit uses, for the metrics of the pool.

use std::sync::Arc;
use std::time::Instant;

use crate::registry::Entry;

/// A connection that a unit uses until this is dropped.
pub(crate) struct InUse<C> {
    entry: Arc<Entry<C>>,
    since: Instant,
}

impl<C> InUse<C> {
    pub(crate) fn begin(entry: Arc<Entry<C>>) -> Self {
        entry.metrics.taken(|| entry.pool.size());
        Self {
            entry,
            since: Instant::now(),
        }
    }
}

impl<C> Drop for InUse<C> {
    fn drop(&mut self) {
        let Entry { metrics, pool, .. } = self.entry.as_ref();
        metrics.given_back(self.since, || pool.size());
    }
}
