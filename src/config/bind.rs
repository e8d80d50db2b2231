//! The options of a bind.

use crate::backend::Settings;

/// The options of a bind.
#[derive(Clone, Debug, Default)]
pub struct BindOptions {
    pub(crate) never_prepare: bool,
    pub(crate) holder: HolderPreference,
    pub(crate) trust_reads: bool,
    pub(crate) allow_not_durable: bool,
    pub(crate) record_every_commit: bool,
    pub(crate) never_cancel: bool,
    pub(crate) require_synchronous_replication: bool,
    pub(crate) read_only: bool,
    pub(crate) cleaning: Cleaning,
    pub(crate) prepare_writes_anew: bool,
    pub(crate) settings: Settings,
    pub(crate) attached: Vec<(&'static str, String)>,
}

/// The units after which a connection is restored to the state of a fresh one of its pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Cleaning {
    Never,
    /// Units after which the connection may have other session state.
    #[default]
    WhereNeeded,
    Always,
}

/// The preference of a bind to be the holder of a unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum HolderPreference {
    /// Automatic: the bind that cannot prepare, otherwise a MySQL/MariaDB bind, otherwise the first writer.
    #[default]
    Auto,
    /// Prefers this bind among those that can prepare.
    Prefer,
    /// Chooses this bind last.
    Avoid,
}

impl BindOptions {
    /// Creates options with the defaults.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Never prepares a transaction of this bind. The bind is the holder of every unit that it writes in, and two such
    /// binds cannot write in one unit.
    ///
    /// Use it for a bind with features that PostgreSQL cannot prepare: `NOTIFY`, temporary tables. Defaults to off.
    #[must_use]
    pub fn never_prepare(mut self) -> Self {
        self.never_prepare = true;
        self
    }

    /// Sets whether this bind should be the holder. Defaults to [`HolderPreference::Auto`].
    #[must_use]
    pub fn holder(mut self, preference: HolderPreference) -> Self {
        self.holder = preference;
        self
    }

    /// Treats a `SELECT` without a locking clause as read-only, without asking the server.
    ///
    /// If a function in a `SELECT` writes, its writes are then committed after the decision. A crash between the two
    /// loses them. Saves a round trip in units with at most one writer, and a counter at the begin on MySQL and MariaDB. Defaults
    /// to off.
    #[must_use]
    pub fn trust_reads(mut self) -> Self {
        self.trust_reads = true;
        self
    }

    /// Lets the bind join units of several writers although a crash of its server may lose a confirmed commit. This is
    /// so with `fsync = off`, `innodb_flush_log_at_trx_commit` other than 1, SQLite below `synchronous = FULL`, and
    /// `:memory:`. Defaults to off.
    #[must_use]
    pub fn allow_not_durable(mut self) -> Self {
        self.allow_not_durable = true;
        self
    }

    /// Records the decision even if this bind is the only writer, so that a lost reply never leaves the outcome
    /// unknown. This costs one more row in the same message. A unit that only read leaves no record. If the types of
    /// its statements do not prove that it only read, the database is asked in one round trip. Defaults to off.
    #[must_use]
    pub fn record_every_commit(mut self) -> Self {
        self.record_every_commit = true;
        self
    }

    /// Closes the connection of an abandoned statement without a request to cancel the statement.
    ///
    /// The server then runs the statement to its end, with its locks, before it rolls back. Use this with a proxy that
    /// does not pass such requests on to the right connection. No request is ever sent through a pooler of PostgreSQL
    /// (pgbouncer), which is detected. Defaults to off.
    #[must_use]
    pub fn never_cancel(mut self) -> Self {
        self.never_cancel = true;
        self
    }

    /// Keeps session state that statements of the application leave on the connections of the pool: settings, temporary
    /// tables, advisory locks, `LISTEN` and so on. The next unit on the connection finds it.
    ///
    /// Otherwise each connection is restored to the state of a fresh one before it goes back to the pool, or closed.
    /// This happens after units with text in a statement, a hook at the begin, or the raw connection. Defaults to off.
    /// Undoes [`clean_every_unit`](Self::clean_every_unit).
    #[must_use]
    pub fn keep_session_state(mut self) -> Self {
        self.cleaning = Cleaning::Never;
        self
    }

    /// Restores each connection to the state of a fresh one after every unit, even after units with only typed queries.
    ///
    /// Use it for databases whose triggers and functions change the session (`set_config(…, false)`, advisory locks,
    /// `GET_LOCK`, `SET SESSION` in a stored function): a typed query does not show that it calls them. Costs a message
    /// or two after each unit, for which the unit does not wait. Defaults to off. Undoes
    /// [`keep_session_state`](Self::keep_session_state).
    #[must_use]
    pub fn clean_every_unit(mut self) -> Self {
        self.cleaning = Cleaning::Always;
        self
    }

    /// Prepares each `UPDATE` and upsert anew, as Diesel does.
    ///
    /// Otherwise a write stays prepared on its connection from the second use of its text on, which saves a round trip.
    /// At most 32 texts of a bind do, in one process. PostgreSQL may then use a generic plan, which locks all partitions of a table.
    /// Defaults to off.
    ///
    /// To keep no statement at all prepared, not even a query, set the cache size of the connections of the pool to
    /// Diesel's `CacheSize::Disabled`.
    #[must_use]
    pub fn prepare_writes_anew(mut self) -> Self {
        self.prepare_writes_anew = true;
        self
    }

    /// Lets the bind join units of several writers only while its commits wait for a standby or a replica. On
    /// PostgreSQL this requires `synchronous_standby_names`, on MariaDB active semi-synchronous replication. A bind of
    /// MariaDB then never prepares, because an `XA PREPARE` waits for no replica: it is the holder of its units.
    ///
    /// A failover to a server that lacks the last commits loses decisions and prepared branches, so that units are kept
    /// in part. The setting is read together with the id of the database, at least every 30 seconds.
    ///
    /// Each prepare and each decision of the bind is then followed by a small commit that also waits for the standby or
    /// replica, within the same step timeout. This costs two round trips on PostgreSQL, four on MariaDB, and that wait.
    /// Without this option, a commit whose wait an operator has cancelled (`pg_cancel_backend`) counts as confirmed:
    /// PostgreSQL reports it as a success. The commit of an only writer is confirmed in this way if the bind
    /// [records every commit](Self::record_every_commit). Defaults to off.
    #[must_use]
    pub fn require_synchronous_replication(mut self) -> Self {
        self.require_synchronous_replication = true;
        self
    }

    pub(crate) fn holder_rank(&self, natural: i8) -> i8 {
        match self.holder {
            HolderPreference::Auto => natural,
            HolderPreference::Prefer => 10,
            HolderPreference::Avoid => -10,
        }
    }
}
