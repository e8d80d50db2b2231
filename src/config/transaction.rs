//! Settings of every transaction of a bind.

use std::time::Duration;

use crate::backend::Isolation;
use crate::config::BindOptions;

/// Settings of each transaction of the bind. Settings of a unit ([`SessionOptions`](crate::SessionOptions)) take
/// precedence. A setting that the backend does not support is an error of [`build`](crate::BindsBuilder::build).
impl BindOptions {
    /// Makes this bind read-only. A statement that may write is refused, by its type and by the server. Use it for a
    /// replica, for instance. Defaults to off.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// Sets the isolation level of transactions. SQLite accepts only [`Isolation::Serializable`], which it always has.
    /// Defaults to the level of the connection.
    #[must_use]
    pub fn isolation(mut self, level: Isolation) -> Self {
        self.settings.isolation = Some(level);
        self
    }

    /// Lets a transaction wait at its begin until it can no longer fail because of concurrent transactions. PostgreSQL
    /// only, together with [`read_only`](Self::read_only) and [`Isolation::Serializable`]. Defaults to off.
    #[must_use]
    pub fn deferrable(mut self) -> Self {
        self.settings.deferrable = true;
        self
    }

    /// Sets the longest time of a statement, after which the server ends it. PostgreSQL, MariaDB, and MySQL, which limits
    /// only `SELECT`. Defaults to the limit of the connection.
    #[must_use]
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.settings.statement_timeout = Some(limit);
        self
    }

    /// Sets the longest time that a statement waits for a lock, in whole seconds on MySQL and MariaDB. Defaults to the
    /// limit of the connection. On PostgreSQL, if the connection has none, defaults to that of the
    /// [registry](crate::BindsBuilder::lock_timeout).
    #[must_use]
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.settings.lock_timeout = Some(limit);
        self
    }
}
