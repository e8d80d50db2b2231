//! The settings of a pool that is made of a URL.

#[cfg(any(feature = "deadpool", feature = "bb8"))]
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::time::Duration;

/// The limits of the time between two looks at idle connections.
#[cfg(any(feature = "deadpool", feature = "bb8"))]
const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
#[cfg(any(feature = "deadpool", feature = "bb8"))]
const LONGEST_INTERVAL: Duration = Duration::from_secs(30);

/// The size and the time limits of a pool that [`Binds`](crate::Binds) makes of a URL.
///
/// The pool closes, opens and tests idle connections in a task of the tokio runtime in which it is made, or first used.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    pub(crate) max_size: usize,
    pub(crate) min_idle: usize,
    pub(crate) checkout_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) idle_timeout: Option<Duration>,
    pub(crate) max_lifetime: Option<Duration>,
    pub(crate) keepalive: Option<Duration>,
}

impl PoolOptions {
    /// Creates options with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum number of open connections. A session takes one for each bind that it uses. Defaults to 10.
    #[must_use]
    pub fn max_size(mut self, connections: usize) -> Self {
        self.max_size = connections;
        self
    }

    /// Sets the number of idle connections that the pool keeps open for the next sessions, as far as its maximum size
    /// allows. Defaults to 0.
    #[must_use]
    pub fn min_idle(mut self, connections: usize) -> Self {
        self.min_idle = connections;
        self
    }

    /// Sets the longest time that a session waits for a connection to become free. Defaults to 10 seconds.
    #[must_use]
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.checkout_timeout = timeout;
        self
    }

    /// Sets the longest time of opening or checking a connection. Defaults to 5 seconds.
    ///
    /// If a check exceeds it, the server or the way to it hangs: the pool closes its other idle connections without
    /// checking them, and opens a new one. So a server that hangs usually costs a checkout twice this time.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the time since its last checkout after which an unused connection is closed, unless it is one of the
    /// [`min_idle`](Self::min_idle). `None` keeps it. Defaults to 10 minutes.
    ///
    /// Does not apply to a SQLite database in memory, which ends with its last connection.
    ///
    /// Set it below the time after which the server, a proxy or a firewall closes an idle connection.
    #[must_use]
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = timeout.into();
        self
    }

    /// Sets the age at which a connection is closed instead of being used again. `None` sets no limit. Defaults to 30
    /// minutes.
    ///
    /// Each connection has its own limit, up to a tenth shorter, so that those opened together are not closed together.
    /// With bb8, one limit applies to all connections of the pool. Does not apply to a SQLite database in memory.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: impl Into<Option<Duration>>) -> Self {
        self.max_lifetime = lifetime.into();
        self
    }

    /// Sets the time after which an unused connection is tested by a query, so that nothing on the way to the server
    /// forgets it. A connection that fails is closed. `None` tests a connection only when it is checked out. Defaults to
    /// `None`. Pools of bb8 ignore it.
    ///
    /// A test counts as a use: with an interval below the [`idle_timeout`](Self::idle_timeout), a connection is closed only
    /// by its age.
    #[must_use]
    pub fn keepalive(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.keepalive = interval.into();
        self
    }
}

#[cfg(any(feature = "deadpool", feature = "bb8"))]
impl PoolOptions {
    /// Returns the age at which a connection is closed. `seed` differs between connections.
    pub(crate) fn lifetime(&self, seed: impl Hash) -> Option<Duration> {
        let mut hasher = DefaultHasher::new();
        seed.hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 100).expect("it is below 100");
        Some(self.max_lifetime? / 1000 * (900 + share))
    }

    /// Returns the time between two looks at idle connections. `None` if there is nothing to look for.
    pub(crate) fn upkeep_interval(&self) -> Option<Duration> {
        let limits = [self.idle_timeout, self.max_lifetime, self.keepalive];
        let shortest = limits.into_iter().flatten().min();
        let wanted = (self.min_idle > 0).then_some(LONGEST_INTERVAL);
        let interval = shortest.map(|limit| limit / 4).into_iter().chain(wanted);
        let interval = interval.min()?;
        Some(interval.clamp(SHORTEST_INTERVAL, LONGEST_INTERVAL))
    }
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max_size: 10,
            min_idle: 0,
            checkout_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Some(Duration::from_secs(600)),
            max_lifetime: Some(Duration::from_secs(1800)),
            keepalive: None,
        }
    }
}

#[cfg(all(test, any(feature = "deadpool", feature = "bb8")))]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_differ_by_a_tenth_at_most() {
        let limit = Duration::from_secs(1000);
        let options = PoolOptions::new().max_lifetime(limit);
        let lifetimes: Vec<_> = (0..1000)
            .map(|seed| options.lifetime(seed).expect("a limit is set"))
            .collect();
        let shortest = lifetimes.iter().min().expect("there are some");
        let longest = lifetimes.iter().max().expect("there are some");
        assert!(*shortest >= limit / 10 * 9 && *longest <= limit);
        assert!(
            *longest - *shortest > limit / 20,
            "{shortest:?} {longest:?}"
        );
        assert_eq!(PoolOptions::new().max_lifetime(None).lifetime(1), None);
    }

    #[test]
    fn idle_connections_are_looked_at_as_often_as_the_shortest_limit_needs() {
        let none = PoolOptions::new().idle_timeout(None).max_lifetime(None);
        assert_eq!(none.upkeep_interval(), None);
        let of = |options: PoolOptions| options.upkeep_interval();
        assert_eq!(of(none.clone().min_idle(1)), Some(LONGEST_INTERVAL));
        let keepalive = none.clone().keepalive(Duration::from_secs(8));
        assert_eq!(of(keepalive), Some(Duration::from_secs(2)));
        assert_eq!(
            of(none.idle_timeout(Duration::ZERO)),
            Some(SHORTEST_INTERVAL)
        );
    }
}
