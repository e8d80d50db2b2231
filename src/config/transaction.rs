//! What every transaction of a bind is told when it begins.

use std::time::Duration;

use crate::backend::Isolation;
use crate::config::BindOptions;

/// What holds for each transaction of the bind. What a unit says of the same for itself
/// ([`SessionOptions`](crate::SessionOptions)) comes before it. What the backend cannot do is an error of
/// [`build`](crate::BindsBuilder::build).
impl BindOptions {
    /// Writes nothing on this bind: a statement that may is refused, by its type and by the server. For a replica,
    /// for instance. Defaults to off.
    #[must_use]
    pub fn read_only(mut self) -> Self {
        self.read_only = true;
        self
    }

    /// How far transactions are kept apart. SQLite takes [`Isolation::Serializable`] only, which it always is.
    /// Defaults to what the connection has.
    #[must_use]
    pub fn isolation(mut self, level: Isolation) -> Self {
        self.settings.isolation = Some(level);
        self
    }

    /// Lets a transaction wait at its begin until it can no longer fail for what others do. PostgreSQL only, together
    /// with [`read_only`](Self::read_only) and [`Isolation::Serializable`]. Defaults to off.
    #[must_use]
    pub fn deferrable(mut self) -> Self {
        self.settings.deferrable = true;
        self
    }

    /// How long a statement may take before the server ends it. PostgreSQL and MariaDB. Defaults to what the
    /// connection has.
    #[must_use]
    pub fn statement_timeout(mut self, limit: Duration) -> Self {
        self.settings.statement_timeout = Some(limit);
        self
    }

    /// How long a statement may wait for a lock, in whole seconds on MySQL and MariaDB. Defaults to what the
    /// connection has; on PostgreSQL, where it has none, to that of the
    /// [registry](crate::BindsBuilder::lock_timeout).
    #[must_use]
    pub fn lock_timeout(mut self, limit: Duration) -> Self {
        self.settings.lock_timeout = Some(limit);
        self
    }
}
