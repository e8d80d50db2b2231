//! The settings of a pool that is made of a URL.

use std::time::Duration;

/// The size and the timeouts of a pool that [`Binds`](crate::Binds) makes of a URL.
#[derive(Clone, Debug)]
pub struct PoolOptions {
    pub(crate) max_size: usize,
    pub(crate) checkout_timeout: Duration,
    pub(crate) connect_timeout: Duration,
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

    /// Sets the longest time that a session waits for a connection to become free. Defaults to 10 seconds.
    #[must_use]
    pub fn checkout_timeout(mut self, timeout: Duration) -> Self {
        self.checkout_timeout = timeout;
        self
    }

    /// Sets the longest time of opening or checking a connection. Defaults to 5 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self {
            max_size: 10,
            checkout_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
        }
    }
}
