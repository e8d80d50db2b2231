//! The preflight, which checks whether every bind is ready for sessions.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::backend::Backend;
use crate::commit::{Fault, are_distinct};
use crate::gid::DatabaseId;
use crate::registry::AnyEntry;
use crate::registry::Registry;
use crate::registry::examine::Examined;

/// The results of [`Binds::check`](crate::Binds::check), for a person to read ([`Display`](fmt::Display)), and for a
/// program to match on.
#[derive(Debug)]
#[non_exhaustive]
pub struct Report {
    /// The reports of the databases.
    pub binds: Vec<BindReport>,
}

/// The results of a check for one bind.
#[derive(Debug)]
#[non_exhaustive]
pub struct BindReport {
    /// The key of the bind.
    pub bind: &'static str,
    /// The kind of server.
    pub backend: Backend,
    /// The version of the server, if it was reached.
    pub version: Option<String>,
    /// All findings.
    pub findings: Vec<Finding>,
}

/// A finding of a check.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// No connection could be opened, or the server did not answer.
    #[error("it cannot be reached")]
    Unreachable(#[source] Fault),
    /// No transaction can begin: the files of a group would not commit as one (WAL, `synchronous = OFF`), or two have a
    /// table of the same name.
    #[error("no transaction can begin")]
    Unusable(#[source] Fault),
    /// Another bind has its tables in this database ([`Source::shared_with`](crate::Source::shared_with)).
    #[error("`{bind}` is in the same database, and shares its connection (`Source::shared_with`)")]
    Shared {
        /// The key of the other bind.
        bind: &'static str,
    },
    /// The SQLite file of another bind is attached to its connection ([`Source::attach_to`](crate::Source::attach_to)).
    #[error(
        "the file of `{bind}` is attached to its connection (`Source::attach_to`): both commit as one"
    )]
    Attached {
        /// The key of the other bind.
        bind: &'static str,
    },
    /// The transactions of the bind can be prepared.
    #[error("its transactions can be prepared")]
    CanPrepare,
    /// The transactions of the bind cannot be prepared. The bind is the holder of every unit that it writes in, and two
    /// such binds cannot write in one unit.
    #[error(
        "its transactions cannot be prepared ({reason}): it holds the decision of the units that it writes in{}",
        Apart(.not_with)
    )]
    CannotPrepare {
        /// The reason.
        reason: String,
        /// The other binds that cannot prepare: a unit that writes here cannot write there.
        not_with: Vec<&'static str>,
    },
    /// More units may run at once than the server has slots for prepared transactions.
    #[error(
        "`max_prepared_transactions` is {slots}, and the pool holds {pool} connections: a commit may find no slot"
    )]
    FewSlots {
        /// The slots.
        slots: u32,
        /// The size of the pool.
        pool: usize,
    },
    /// A crash may lose a confirmed commit, so the bind may not join units of several writers.
    #[error("a crash may lose a confirmed commit: {setting}")]
    NotDurable {
        /// The setting.
        setting: String,
        /// `true` if an option allows the bind to join anyway.
        allowed: bool,
    },
    /// Commits wait for no standby or replica, so a failover may lose confirmed commits. Reported if the bind requires
    /// synchronous replication
    /// ([`BindOptions::require_synchronous_replication`](crate::BindOptions::require_synchronous_replication)), or if
    /// commits of this process waited before.
    #[error("commits wait for no standby or replica: a failover may lose confirmed commits")]
    NotReplicated {
        /// `true` if the bind requires it, so that it cannot join units of several writers.
        required: bool,
    },
    /// The tables of the commit protocol are missing, are not those of this library, or are not safe for commits, or
    /// the role of the connection may not write to them.
    #[error("it cannot join units of several writers, nor record its commits")]
    Tables(#[source] Fault),
    /// The worker of this process recovers, but its role may not delete the records of finished units. The number of
    /// records then grows without limit. That has no other effect.
    #[error(
        "recovery cannot delete the records of finished units: grant the role DELETE on `diesel_binds_decision` and INSERT \
         and UPDATE on `diesel_binds_horizon`, or let a process with another role recover"
    )]
    CannotForget(#[source] Fault),
    /// Another bind is in the same database, without [`Source::shared_with`](crate::Source::shared_with).
    #[error(
        "`{with}` is the same database: they wait for each other's locks, and commit with a prepare that is not \
         needed; declare it with `Source::shared_with(..)`"
    )]
    SameDatabase {
        /// The other bind.
        with: &'static str,
    },
    /// Another bind has the same id, but is another database: one is a copy of the other.
    #[error(
        "`{with}` is another database and has the same id: no unit may write on both, and recovery may ask the wrong one; \
         give the copy an id of its own (`binds.renew_identity(..)`, `diesel-binds identity BIND --new`)"
    )]
    SameIdentity {
        /// The other bind.
        with: &'static str,
    },
    /// The URL leaves it to the server whether connections are encrypted, and they are not.
    #[error(
        "the connections to `{host}` are not encrypted: its URL leaves that to the server; require it (PostgreSQL: \
         `sslmode=verify-full`, MySQL and MariaDB: `ssl-mode=VERIFY_IDENTITY`), or say that it is meant (`sslmode=disable`, \
         `ssl-mode=DISABLED`)"
    )]
    Unencrypted {
        /// The host.
        host: String,
    },
    /// A remark of the server.
    #[error("{0}")]
    Remark(String),
}

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The bind is as it should be.
    Info,
    /// Some units will fail, or take longer.
    Warning,
    /// The bind cannot be used.
    Error,
}

impl Finding {
    /// Returns the severity of the finding.
    #[must_use]
    pub fn severity(&self) -> Severity {
        match self {
            Self::CanPrepare | Self::Shared { .. } | Self::Attached { .. } => Severity::Info,
            Self::CannotPrepare { not_with, .. } if not_with.is_empty() => Severity::Info,
            Self::Unreachable(_) | Self::Unusable(_) => Severity::Error,
            _ => Severity::Warning,
        }
    }
}

/// The binds on which a unit cannot also write.
struct Apart<'a>(&'a [&'static str]);

impl fmt::Display for Apart<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        write!(
            f,
            "; none of them can also write on `{}`",
            self.0.join("`, `")
        )
    }
}

impl Report {
    /// Returns the highest severity of all findings.
    #[must_use]
    pub fn severity(&self) -> Severity {
        self.binds
            .iter()
            .flat_map(|bind| &bind.findings)
            .map(Finding::severity)
            .max()
            .unwrap_or(Severity::Info)
    }

    /// Returns the report of one bind.
    #[must_use]
    pub fn bind(&self, key: &str) -> Option<&BindReport> {
        self.binds.iter().find(|bind| bind.bind == key)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for bind in &self.binds {
            let version = bind.version.as_deref().unwrap_or("not reached");
            writeln!(f, "{} ({} {version})", bind.bind, bind.backend)?;
            for finding in &bind.findings {
                let mark = match finding.severity() {
                    Severity::Info => "ok",
                    Severity::Warning => "warning",
                    Severity::Error => "error",
                };
                write!(f, "  {mark}: {finding}")?;
                let mut source = std::error::Error::source(finding);
                while let Some(error) = source {
                    write!(f, ": {error}")?;
                    source = error.source();
                }
                writeln!(f)?;
            }
        }
        Ok(())
    }
}

pub(super) async fn check(registry: &Registry) -> Report {
    let examined = join_all(registry.entries.iter().map(|entry| entry.examine())).await;
    let mut same: HashMap<(Backend, Arc<str>), &'static str> = HashMap::new();
    let mut ids: HashMap<DatabaseId, (&'static str, Arc<str>)> = HashMap::new();
    let several = registry.entries.len() > 1;
    let unprepared: Vec<&'static str> = registry
        .entries
        .iter()
        .zip(&examined)
        .filter(|(_, examined)| {
            examined
                .as_ref()
                .is_ok_and(|examined| examined.cannot_prepare.is_some())
        })
        .map(|(entry, _)| entry.key())
        .collect();
    let binds = registry
        .entries
        .iter()
        .zip(examined)
        .enumerate()
        .map(|(position, (entry, examined))| {
            let mut report = BindReport {
                bind: entry.key(),
                backend: entry.backend(),
                version: None,
                findings: sharing_binds(registry, position),
            };
            match examined {
                Err(fault) => report.findings.push(Finding::Unreachable(fault)),
                Ok(examined) => {
                    report.version = Some(examined.server.version.clone());
                    let fingerprint = (entry.backend(), examined.server.fingerprint.clone());
                    // A SQLite database without a file belongs to no other bind.
                    if !fingerprint.1.is_empty()
                        && let Some(with) = same.insert(fingerprint, entry.key())
                    {
                        report.findings.push(Finding::SameDatabase { with });
                    }
                    if let Some(Ok(id)) = examined.database
                        && !examined.read_only
                        && let Some((with, other)) =
                            ids.insert(id, (entry.key(), Arc::clone(&examined.server.fingerprint)))
                        && are_distinct(&other, &examined.server.fingerprint)
                    {
                        report.findings.push(Finding::SameIdentity { with });
                    }
                    report.findings.extend(findings(
                        entry.as_ref(),
                        examined,
                        several,
                        registry.worker.is_wanted(),
                        &unprepared,
                    ));
                }
            }
            report
        })
        .collect();
    Report { binds }
}

/// The binds that share the connection of an entry.
fn sharing_binds(registry: &Registry, entry: usize) -> Vec<Finding> {
    let sharing_binds = registry.sharing_binds.iter();
    sharing_binds
        .filter(|sharing| sharing.entry == entry)
        .map(|sharing| match (sharing.key, sharing.attached) {
            (bind, true) => Finding::Attached { bind },
            (bind, false) => Finding::Shared { bind },
        })
        .collect()
}

fn findings(
    entry: &dyn AnyEntry,
    examined: Examined,
    several: bool,
    recovers: bool,
    unprepared: &[&'static str],
) -> Vec<Finding> {
    let Examined {
        server,
        cannot_prepare,
        pool_size,
        not_durable,
        is_unreplicated,
        unusable,
        remarks,
        cannot_forget,
        unencrypted,
        database,
        read_only: _,
    } = examined;
    let mut findings: Vec<Finding> = unusable.map(Finding::Unusable).into_iter().collect();
    // A bind that is alone never prepares.
    if several {
        match (cannot_prepare, server.prepared_slots) {
            (Some(reason), _) => findings.push(Finding::CannotPrepare {
                reason,
                not_with: unprepared
                    .iter()
                    .copied()
                    .filter(|other| *other != entry.key())
                    .collect(),
            }),
            (None, Some(slots)) if (slots as usize) < pool_size => {
                findings.push(Finding::CanPrepare);
                findings.push(Finding::FewSlots {
                    slots,
                    pool: pool_size,
                });
            }
            (None, _) => findings.push(Finding::CanPrepare),
        }
    }
    if several || entry.needs_recovery() {
        if let Some(setting) = not_durable {
            findings.push(Finding::NotDurable {
                setting,
                allowed: entry.allows_not_durable(),
            });
        }
        if is_unreplicated {
            findings.push(Finding::NotReplicated {
                required: entry.requires_replication(),
            });
        }
        if let Some(Err(fault)) = database {
            findings.push(Finding::Tables(fault));
        } else if let Some(fault) = cannot_forget
            && recovers
        {
            findings.push(Finding::CannotForget(fault));
        }
    }
    findings.extend(unencrypted.map(|host| Finding::Unencrypted { host }));
    findings.extend(remarks.into_iter().map(Finding::Remark));
    findings
}
