//! Options of recovery: the worker, its interval, and the retention of decisions.

use std::time::Duration;

/// The shortest interval: a worker without a pause would do nothing but connect.
const SHORTEST: Duration = Duration::from_millis(10);

/// The longest interval, because the range of clocks is limited.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Options of recovery: the worker, its interval, and the retention of decisions. See
/// [`BindsBuilder::recovery`](crate::BindsBuilder::recovery).
#[derive(Clone, Debug)]
#[must_use = "the options have no effect until they are passed to `BindsBuilder::recovery`"]
pub struct RecoveryOptions {
    pub(crate) interval: Duration,
    pub(crate) jitter: Duration,
    pub(crate) retention: Duration,
    pub(crate) without_worker: bool,
}

impl RecoveryOptions {
    /// Creates options with the defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the pause of the worker after a pass that left nothing to do, at least 10 milliseconds. Defaults to 30
    /// seconds.
    ///
    /// After a pass that left work, the next one begins sooner: after a second, then two, and so on up to this limit.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(SHORTEST, LONGEST);
        self
    }

    /// Sets the largest random extension of each pause, so that many processes do not run passes at the same time. The
    /// first pass begins within this time after the start. Defaults to 5 seconds.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter.min(LONGEST);
        self
    }

    /// Sets the shortest time for which the record of a decision is kept, for later questions about the outcome.
    /// Defaults to 7 days.
    ///
    /// [`Recovery::outcome_of`](crate::Recovery::outcome_of) can return the outcome of a unit at least for this time.
    /// If a database was down, a unit may stay prepared and undecided for longer. It may then have to be finished by
    /// hand. Records that may still be needed are kept longer, and `Duration::MAX` keeps all.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Starts no worker in this process. Another process recovers, or calls [`Recovery::run`](crate::Recovery::run).
    ///
    /// Until then, branches that a dead process left prepared keep their locks.
    pub fn without_worker(mut self) -> Self {
        self.without_worker = true;
        self
    }
}

impl Default for RecoveryOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(30),
            jitter: Duration::from_secs(5),
            retention: Duration::from_secs(7 * 24 * 3600),
            without_worker: false,
        }
    }
}
