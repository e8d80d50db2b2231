//! The settings of a transaction at its begin, and the checks that a backend supports them.

use std::time::Duration;

use crate::backend::Backend;

/// The isolation level of a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees the data committed before it began.
    ReadCommitted,
    /// All statements see one snapshot of the data.
    RepeatableRead,
    /// Transactions have an effect as if they ran one after the other. SQLite always does this.
    Serializable,
}

impl Isolation {
    /// Returns the name in the SQL standard.
    #[cfg(any(feature = "postgres", feature = "mysql"))]
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// Settings of a transaction at its begin, beside the access mode. A setting that is left out keeps its value on the
/// connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The isolation level.
    pub isolation: Option<Isolation>,
    /// `true` if the begin may wait, so that the transaction cannot fail because of concurrent transactions.
    pub deferrable: bool,
    /// The time limit of a statement.
    pub statement_timeout: Option<Duration>,
    /// The time limit of a wait for a lock.
    pub lock_timeout: Option<Duration>,
}

/// A setting that is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unsupported {
    /// The name of the setting.
    pub(crate) option: &'static str,
    /// The reason why it is not supported.
    pub(crate) reason: &'static str,
}

impl Settings {
    /// Fills the settings that are left out with those of `rest`.
    pub(crate) fn or(self, rest: Self) -> Self {
        Self {
            isolation: self.isolation.or(rest.isolation),
            deferrable: self.deferrable || rest.deferrable,
            statement_timeout: self.statement_timeout.or(rest.statement_timeout),
            lock_timeout: self.lock_timeout.or(rest.lock_timeout),
        }
    }

    /// Refuses any setting in a transaction that the session did not begin.
    pub(crate) fn check_within_outer(self) -> Result<(), Unsupported> {
        self.refuse_any("the session is within an outer transaction, which was begun without it")
    }

    /// Refuses any setting of a unit in a sandbox.
    pub(crate) fn check_sandboxed(self) -> Result<(), Unsupported> {
        self.refuse_any(
            "a unit of a sandbox is a savepoint, which cannot have it; `ignoring_settings()` of the sandbox lets it pass",
        )
    }

    fn refuse_any(self, reason: &'static str) -> Result<(), Unsupported> {
        let given = [
            ("isolation", self.isolation.is_some()),
            ("deferrable", self.deferrable),
            ("statement_timeout", self.statement_timeout.is_some()),
            ("lock_timeout", self.lock_timeout.is_some()),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            None => Ok(()),
            Some((option, _)) => Err(Unsupported { option, reason }),
        }
    }

    /// Refuses a setting that this backend or this access mode does not support.
    pub(crate) fn check(self, backend: Backend, read_only: bool) -> Result<(), Unsupported> {
        let unsupported = |option, reason| Err(Unsupported { option, reason });
        if backend == Backend::Sqlite
            && self.isolation.is_some_and(|i| i != Isolation::Serializable)
        {
            return unsupported(
                "isolation",
                "transactions of SQLite are always serializable",
            );
        }
        if self.deferrable && backend != Backend::Postgres {
            return unsupported("deferrable", "only PostgreSQL has deferrable transactions");
        }
        if self.deferrable && !(read_only && self.isolation == Some(Isolation::Serializable)) {
            return unsupported(
                "deferrable",
                "it has an effect only together with `read_only` and `Isolation::Serializable`",
            );
        }
        if self.statement_timeout.is_some() && backend == Backend::Sqlite {
            return unsupported("statement_timeout", "SQLite limits no statement");
        }
        if self.statement_timeout.is_some_and(|limit| limit.is_zero()) {
            return unsupported("statement_timeout", "0 is no limit to a server");
        }
        match self.lock_timeout {
            Some(limit) if limit.is_zero() => {
                unsupported("lock_timeout", "0 is no limit to a server")
            }
            Some(limit) if backend == Backend::Mysql && limit.subsec_nanos() != 0 => {
                unsupported("lock_timeout", "MySQL and MariaDB count whole seconds")
            }
            _ => Ok(()),
        }
    }
}

/// Converts to whole milliseconds, rounding up so that a non-zero limit never becomes 0 ("no limit").
#[cfg(any(feature = "postgres", feature = "sqlite"))]
pub(super) fn milliseconds(time: Duration) -> i32 {
    let rounded_up = time.as_nanos().div_ceil(1_000_000);
    i32::try_from(rounded_up).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(settings: Settings, backend: Backend, read_only: bool) -> Option<&'static str> {
        settings
            .check(backend, read_only)
            .err()
            .map(|unsupported| unsupported.option)
    }

    #[test]
    fn unsupported_settings_are_refused_by_name() {
        let unset = Settings::default();
        let serializable = Some(Isolation::Serializable);
        for backend in [Backend::Postgres, Backend::Mysql, Backend::Sqlite] {
            assert_eq!(refused(unset, backend, false), None);
            let only = Settings {
                isolation: serializable,
                ..unset
            };
            assert_eq!(refused(only, backend, false), None);
            for zero in [
                Settings {
                    lock_timeout: Some(Duration::ZERO),
                    ..unset
                },
                Settings {
                    statement_timeout: Some(Duration::ZERO),
                    ..unset
                },
            ] {
                assert!(refused(zero, backend, false).is_some());
            }
        }
        let snapshot = Settings {
            isolation: Some(Isolation::RepeatableRead),
            ..unset
        };
        assert_eq!(refused(snapshot, Backend::Sqlite, false), Some("isolation"));
        let deferrable = Settings {
            isolation: serializable,
            deferrable: true,
            ..unset
        };
        assert_eq!(refused(deferrable, Backend::Postgres, true), None);
        assert_eq!(
            refused(deferrable, Backend::Postgres, false),
            Some("deferrable")
        );
        assert_eq!(
            refused(deferrable, Backend::Mysql, true),
            Some("deferrable")
        );
        assert_eq!(
            refused(deferrable, Backend::Sqlite, true),
            Some("deferrable")
        );
        let weaker = Settings {
            deferrable: true,
            ..snapshot
        };
        assert_eq!(refused(weaker, Backend::Postgres, true), Some("deferrable"));
        let limited = Settings {
            statement_timeout: Some(SECOND),
            ..unset
        };
        assert_eq!(
            refused(limited, Backend::Sqlite, false),
            Some("statement_timeout")
        );
        let half = Settings {
            lock_timeout: Some(SECOND / 2),
            ..unset
        };
        assert_eq!(refused(half, Backend::Mysql, false), Some("lock_timeout"));
        assert_eq!(refused(half, Backend::Postgres, false), None);
    }

    #[test]
    fn settings_of_a_unit_precede_those_of_its_bind() {
        let unit = Settings {
            lock_timeout: Some(SECOND),
            ..Settings::default()
        };
        let bind = Settings {
            isolation: Some(Isolation::Serializable),
            lock_timeout: Some(2 * SECOND),
            ..Settings::default()
        };
        let both = unit.or(bind);
        assert_eq!(both.lock_timeout, Some(SECOND));
        assert_eq!(both.isolation, Some(Isolation::Serializable));
    }
}
