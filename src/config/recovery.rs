//! Who finishes the units that were left prepared, how often, and how long their decisions are remembered.

use std::time::Duration;

/// A worker that never rests would do nothing but connect.
const SHORTEST: Duration = Duration::from_millis(10);

/// Clocks have an end.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// Who finishes the units that were left prepared, how often, and how long their decisions are remembered. See
/// [`BindsBuilder::recovery`](crate::BindsBuilder::recovery).
#[derive(Clone, Debug)]
#[must_use = "it says nothing before it is passed to `BindsBuilder::recovery`"]
pub struct RecoveryOptions {
    pub(crate) interval: Duration,
    pub(crate) jitter: Duration,
    pub(crate) retention: Duration,
    pub(crate) without_worker: bool,
}

impl RecoveryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long the worker rests after a pass that left nothing to do; at least 10 milliseconds. Defaults to 30 seconds.
    ///
    /// After a pass that left something it comes back sooner: after a second, then two, and so on up to this.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.clamp(SHORTEST, LONGEST);
        self
    }

    /// How much longer each rest may be, at random, so that many processes do not all come at once. The first pass
    /// begins within this time after the start. Defaults to 5 seconds.
    pub fn jitter(mut self, jitter: Duration) -> Self {
        self.jitter = jitter.min(LONGEST);
        self
    }

    /// How long the record of a decision is kept at least, for those who ask how a unit ended. Defaults to 7 days.
    ///
    /// What [`Recovery::outcome_of`](crate::Recovery::outcome_of) can tell of a unit, it can tell for so long. A unit that stays
    /// prepared and undecided for longer, because one of its databases was down, may have to be finished by hand. Records
    /// that may still be needed are kept longer, and `Duration::MAX` keeps all.
    pub fn retention(mut self, retention: Duration) -> Self {
        self.retention = retention;
        self
    }

    /// Starts no worker in this process: another one recovers, or something calls
    /// [`Recovery::run`](crate::Recovery::run).
    ///
    /// Until somebody does, what a process that died left prepared keeps its locks.
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
