//! The metrics of units, of pools and of recovery, for the recorder of the facade `metrics`.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram,
    gauge, histogram,
};

use crate::trace::words::{PassResult, ServerAttributes, UnitResult, error_type};

const POOL: &str = "db.client.connection.pool.name";
const OPERATION: &str = "db.client.operation.duration";
const UNITS: &str = "diesel_binds.units";
const IN_DOUBT: &str = "diesel_binds.in_doubt";
const RECOVERED: &str = "diesel_binds.recovered";
const PASSES: &str = "diesel_binds.recovery.passes";

/// Describes the metrics to the recorder.
pub(crate) fn describe() {
    describe_histogram!(OPERATION, Unit::Seconds, "How long a statement took");
    describe_counter!(UNITS, Unit::Count, "Units of work that ended, by outcome");
    describe_gauge!(
        IN_DOUBT,
        Unit::Count,
        "Units that the last pass of recovery left in doubt, by bind"
    );
    describe_counter!(
        RECOVERED,
        Unit::Count,
        "Units that recovery finished on a bind, by outcome"
    );
    describe_counter!(PASSES, Unit::Count, "Passes of recovery, by outcome");
    describe_gauge!(
        "db.client.connection.count",
        Unit::Count,
        "Connections of a pool, in use by sessions or not"
    );
    describe_gauge!(
        "db.client.connection.max",
        Unit::Count,
        "The most connections that a pool opens"
    );
    describe_gauge!(
        "db.client.connection.pending_requests",
        Unit::Count,
        "Sessions that wait for a connection"
    );
    describe_counter!(
        "db.client.connection.timeouts",
        Unit::Count,
        "Sessions that got no connection in time"
    );
    describe_histogram!(
        "db.client.connection.wait_time",
        Unit::Seconds,
        "How long a session waited for a connection"
    );
    describe_histogram!(
        "db.client.connection.use_time",
        Unit::Seconds,
        "How long a session had a connection"
    );
}

/// Counts a unit that ended.
pub(super) fn ended(result: UnitResult) {
    counter!(UNITS, "outcome" => result.word()).increment(1);
}

/// Counts a unit that recovery finished on a bind.
pub(super) fn recovered(bind: &'static str, result: UnitResult) {
    counter!(RECOVERED, "bind" => bind, "outcome" => result.word()).increment(1);
}

/// Sets the number of units that a pass left in doubt on a bind.
pub(crate) fn in_doubt(bind: &'static str, count: usize) {
    gauge!(IN_DOUBT, "bind" => bind).set(number(count));
}

/// Counts a pass of recovery.
pub(crate) fn passed(result: PassResult) {
    counter!(PASSES, "outcome" => result.word()).increment(1);
}

/// The metrics of one bind and its pool. The handles are created once, so that measuring allocates nothing.
pub(crate) struct PoolMetrics {
    bind: &'static str,
    in_use: AtomicUsize,
    used: Gauge,
    idle: Gauge,
    pending: Gauge,
    timeouts: Counter,
    wait: Histogram,
    use_time: Histogram,
    /// Created with the first statement: before that, the server is not known.
    operation: OnceLock<Histogram>,
}

impl PoolMetrics {
    pub(crate) fn new(bind: &'static str, max_size: usize) -> Self {
        gauge!("db.client.connection.max", POOL => bind).set(number(max_size));
        let count = |state: &'static str| gauge!("db.client.connection.count", POOL => bind, "db.client.connection.state" => state);
        Self {
            bind,
            in_use: AtomicUsize::new(0),
            used: count("used"),
            idle: count("idle"),
            pending: gauge!("db.client.connection.pending_requests", POOL => bind),
            timeouts: counter!("db.client.connection.timeouts", POOL => bind),
            wait: histogram!("db.client.connection.wait_time", POOL => bind),
            use_time: histogram!("db.client.connection.use_time", POOL => bind),
            operation: OnceLock::new(),
        }
    }

    /// Notes that a session waits for a connection, until the returned value is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.pending.increment(1.0);
        Waiting {
            pool: self,
            since: Instant::now(),
        }
    }

    /// Notes that a session has taken a connection of the pool, which has `size` connections now.
    pub(crate) fn taken(&self, size: impl FnOnce() -> usize) {
        let used = self.in_use.fetch_add(1, Ordering::Relaxed) + 1;
        self.used.increment(1.0);
        self.idle.set(number(size().saturating_sub(used)));
    }

    /// Notes that a session has given its connection back.
    pub(crate) fn given_back(&self, since: Instant, size: impl FnOnce() -> usize) {
        let used = self.in_use.fetch_sub(1, Ordering::Relaxed) - 1;
        self.use_time.record(since.elapsed());
        self.used.decrement(1.0);
        self.idle.set(number(size().saturating_sub(used)));
    }

    /// Records the duration of a statement, and its error, if it failed.
    pub(crate) fn answered(
        &self,
        stopwatch: Stopwatch,
        server: ServerAttributes<'_>,
        error: Option<&diesel::result::Error>,
    ) {
        let took = stopwatch.0.elapsed();
        // `NotFound` is a successful reply without rows.
        let Some(error) = error.filter(|error| **error != diesel::result::Error::NotFound) else {
            let histogram = self.operation.get_or_init(|| {
                histogram!(
                    OPERATION,
                    "bind" => self.bind,
                    "db.system.name" => server.system,
                    "db.namespace" => server.database.to_owned(),
                )
            });
            return histogram.record(took);
        };
        histogram!(
            OPERATION,
            "bind" => self.bind,
            "db.system.name" => server.system,
            "db.namespace" => server.database.to_owned(),
            "error.type" => error_type(error),
        )
        .record(took);
    }
}

/// A session that waits for a connection.
pub(crate) struct Waiting<'p> {
    pool: &'p PoolMetrics,
    since: Instant,
}

impl Waiting<'_> {
    /// Records that the session got a connection.
    pub(crate) fn done(self) {
        self.pool.wait.record(self.since.elapsed());
    }

    /// Records that the session got no connection in time.
    pub(crate) fn timed_out(self) {
        self.pool.timeouts.increment(1);
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.pool.pending.decrement(1.0);
    }
}

/// A measurement of the duration of a statement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }
}

fn number(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
