//! The clock that stamps units: that of the databases, or of the host until a database was asked.
//!
//! A holder deletes records of units by their age. On a host whose clock is far behind, a unit would begin older than
//! all records that are kept, and its outcome could never be determined. So the time in the id of a unit is that of the
//! servers. The latest of their clocks counts: then no server takes a new unit for an old one.
//!
//! Between two readings, time advances with the host's clock or with the time since boot, whichever advances further.
//! The host's clock may be set back, and the time since boot stops while the host is suspended.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use uuid::{ContextV7, Timestamp, Uuid};

use super::UnitId;

/// The least age of units behind a horizon, if records are kept for longer.
const YOUNG: Duration = Duration::from_secs(3600);

/// The clock that stamps the units of one registry.
pub(crate) struct UnitClock {
    state: Mutex<ClockState>,
    /// The time for which records are kept.
    retention: Duration,
}

struct ClockState {
    /// Keeps the ids of one millisecond distinct and in order.
    context: ContextV7,
    set: Option<Set>,
    /// The offset that is added to the host's clock, in milliseconds. Only tests change it.
    host_is_off_by: i64,
}

/// The last reading of a server's clock, in milliseconds like the time in an id.
#[derive(Clone, Copy)]
struct Set {
    /// The time by the server's clock.
    time: i64,
    /// The moment of the reading on this host.
    at: Instant,
    /// The time by which the server was ahead of the host's clock.
    ahead: i64,
}

impl UnitClock {
    pub(crate) fn new(retention: Duration) -> Self {
        Self {
            state: Mutex::new(ClockState {
                context: ContextV7::new(),
                set: None,
                host_is_off_by: 0,
            }),
            retention,
        }
    }

    /// Makes the id of a unit that begins now.
    pub(crate) fn generate(&self) -> UnitId {
        let state = self.state.lock();
        let now = u64::try_from(state.now()).unwrap_or_default();
        let nanoseconds = u32::try_from(now % 1000 * 1_000_000).unwrap_or_default();
        let timestamp = Timestamp::from_unix(&state.context, now / 1000, nanoseconds);
        UnitId(Uuid::new_v7(timestamp))
    }

    /// Notes the current time of a server, in milliseconds since 1970.
    pub(crate) fn set(&self, time: i64) {
        let mut state = self.state.lock();
        if state.set.is_some() && time <= state.now() {
            return;
        }
        if state.set.is_none() {
            // The old context has the time of the host's clock, and would not go back.
            state.context = ContextV7::new();
        }
        state.set = Some(Set {
            time,
            at: Instant::now(),
            ahead: time.saturating_sub(state.host()),
        });
    }

    /// Returns whether a unit is so young that no holder can have forgotten units of its age.
    pub(crate) fn is_young(&self, unit: UnitId) -> bool {
        self.age(unit) < self.retention.min(YOUNG)
    }

    /// Returns whether records of units as old as this one may be deleted, so that it must not continue.
    pub(crate) fn has_outlived_records(&self, unit: UnitId) -> bool {
        self.age(unit) >= self.retention.max(YOUNG)
    }

    /// Adds an offset to the clock of the host.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn shift_host(&self, milliseconds: i64) {
        self.state.lock().host_is_off_by += milliseconds;
    }

    fn age(&self, unit: UnitId) -> Duration {
        let age = self.state.lock().now().saturating_sub(unit.milliseconds());
        Duration::from_millis(u64::try_from(age).unwrap_or_default())
    }
}

impl ClockState {
    fn now(&self) -> i64 {
        let host = self.host();
        match self.set {
            None => host,
            Some(Set { time, at, ahead }) => {
                let since = i64::try_from(at.elapsed().as_millis()).unwrap_or(i64::MAX);
                time.saturating_add(since).max(host.saturating_add(ahead))
            }
        }
    }

    fn host(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        now.saturating_add(self.host_is_off_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;

    fn clock() -> UnitClock {
        UnitClock::new(Duration::from_secs(7 * 24 * 3600))
    }

    fn host() -> i64 {
        clock().state.lock().now()
    }

    #[test]
    fn units_are_stamped_by_the_servers_and_not_by_the_host() {
        for off in [-30 * DAY, 30 * DAY] {
            let clock = clock();
            clock.shift_host(off);
            let unset = clock.generate();
            assert!((unset.milliseconds() - host() - off).abs() < DAY / 2);
            clock.set(host());
            let units: Vec<UnitId> = (0..1000).map(|_| clock.generate()).collect();
            assert!(units.is_sorted() && units.windows(2).all(|two| two[0] != two[1]));
            for unit in units {
                assert!((unit.milliseconds() - host()).abs() < DAY / 2, "{off}");
                assert!(clock.is_young(unit));
            }
            assert_eq!(clock.has_outlived_records(unset), off < 0);
        }
    }

    #[test]
    fn of_several_servers_the_latest_counts() {
        for order in [[0, 2 * DAY], [2 * DAY, 0]] {
            let clock = clock();
            for ahead in order {
                clock.set(host() + ahead);
            }
            let unit = clock.generate();
            assert!((unit.milliseconds() - host() - 2 * DAY).abs() < DAY / 2);
        }
    }

    #[test]
    fn a_host_whose_clock_is_set_later_makes_no_old_units() {
        for set in [-30 * DAY, 30 * DAY] {
            let clock = clock();
            clock.set(host());
            clock.shift_host(set);
            assert!(clock.generate().milliseconds() > host() - DAY / 2, "{set}");
        }
    }

    #[test]
    fn a_unit_is_old_after_the_time_that_records_are_kept() {
        let clock = clock();
        let unit = clock.generate();
        for (day, young, outlived) in [(0, true, false), (6, false, false), (8, false, true)] {
            clock.set(host() + day * DAY);
            assert_eq!(clock.is_young(unit), young, "{day}");
            assert_eq!(clock.has_outlived_records(unit), outlived, "{day}");
        }
    }
}
