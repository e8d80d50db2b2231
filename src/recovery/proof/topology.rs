//! The topologies: the databases, the work of the unit on each, and the processes that recover.

use crate::commit::Outcome;
use crate::commit::proof::Member;
use crate::gid::{Branch, DatabaseId, Gid};

/// The application that the unit belongs to.
pub(super) const OURS: &str = "ours";

/// The kind of a database, as far as its behaviour differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A prepared transaction belongs to no connection.
    Postgres,
    /// A prepared branch belongs to its connection until that is closed.
    MariaDb,
    /// A file on the host of the coordinator: its connection ends with the process, and it cannot prepare.
    Sqlite,
}

/// One database, and the work of the unit on it.
#[derive(Clone, Debug)]
pub(super) struct Database {
    /// The key of the bind. Two databases may have the same key, in different processes.
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// The unit's information about this member, or `None` if the unit did not use the database.
    pub(super) member: Option<Member>,
    /// The unit really wrote here.
    pub(super) wrote: bool,
    pub(super) serializable: bool,
}

/// A process that recovers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) namespace: &'static str,
    /// The databases that the process has binds of.
    pub(super) binds: Vec<usize>,
    /// The outcome that the process's operator may force, if it has an operator.
    pub(super) operator: Option<Outcome>,
}

/// A small set of databases and processes.
#[derive(Clone, Debug)]
pub(super) struct Topology {
    pub(super) name: &'static str,
    /// The databases, those of the unit first.
    pub(super) databases: Vec<Database>,
    pub(super) processes: Vec<Process>,
    /// The number of faults that may happen in one run.
    pub(super) faults: u8,
    /// A decision does not see a horizon that moved after its transaction began.
    pub(super) old_snapshots: bool,
}

impl Database {
    fn writer(key: &'static str, kind: Kind) -> Self {
        Self {
            key,
            kind,
            member: Some(Member {
                writer: true,
                askable: false,
                identified: true,
                can_prepare: kind != Kind::Sqlite,
                holder_rank: i8::from(kind == Kind::MariaDb),
                needs_decision_row: false,
            }),
            wrote: true,
            serializable: false,
        }
    }

    /// Creates a database whose statements only read, and whose server can tell whether the unit wrote.
    fn reader(key: &'static str, kind: Kind, wrote: bool, serializable: bool) -> Self {
        let writer = Self::writer(key, kind);
        Self {
            member: writer.member.map(|member| Member {
                writer: false,
                askable: true,
                ..member
            }),
            wrote,
            serializable,
            ..writer
        }
    }

    /// Creates another database, which the unit does not use.
    fn elsewhere(key: &'static str, kind: Kind) -> Self {
        Self {
            member: None,
            wrote: false,
            ..Self::writer(key, kind)
        }
    }

    fn recorded(self) -> Self {
        Self {
            member: self.member.map(|member| Member {
                needs_decision_row: true,
                ..member
            }),
            ..self
        }
    }

    /// Removes the known id: the unit has to ask for it.
    fn unidentified(self) -> Self {
        Self {
            member: self.member.map(|member| Member {
                identified: false,
                ..member
            }),
            ..self
        }
    }
}

impl Topology {
    /// Returns the branch on a database, as the unit names it.
    pub(super) fn branch(&self, holder: usize, on: usize) -> Branch {
        let unit = "0190c2f1a5b27e3c9d4f8a6b1c2d3e4f";
        let gid: Gid = format!(
            "db1:{OURS}:{unit}:{}:{}",
            self.databases[holder].key,
            self.id(holder)
        )
        .parse()
        .expect("a gid");
        let parts = self.writers().count().saturating_sub(1);
        gid.branch(self.databases[on].key, parts.try_into().expect("a few"))
    }

    pub(super) fn id(&self, database: usize) -> DatabaseId {
        format!("{:032x}", database + 1).parse().expect("an id")
    }

    pub(super) fn writers(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.databases.len())
            .filter(|index| self.databases[*index].member.is_some() && self.databases[*index].wrote)
    }
}

impl Process {
    /// Returns whether the application may call `Recovery::resolve` in this process.
    pub(super) fn may_resolve(&self) -> bool {
        self.namespace == OURS && self.operator.is_none()
    }
}

/// Returns two processes of the application with binds of all databases.
fn both(databases: usize) -> Vec<Process> {
    vec![
        ours((0..databases).collect()),
        ours((0..databases).collect()),
    ]
}

fn ours(binds: Vec<usize>) -> Process {
    Process {
        namespace: OURS,
        binds,
        operator: None,
    }
}

/// Returns a process whose operator forces this outcome.
fn operated(binds: Vec<usize>, outcome: Outcome) -> Process {
    Process {
        operator: Some(outcome),
        ..ours(binds)
    }
}

/// Returns all topologies.
pub(super) fn all() -> Vec<Topology> {
    use Kind::{MariaDb, Postgres, Sqlite};
    let a = || Database::writer("a", Postgres);
    let b = || Database::writer("b", Postgres);
    let my = || Database::writer("my", MariaDb);
    let other = || Database::writer("other", MariaDb);
    let lite = || Database::writer("lite", Sqlite);
    // Small ones first: they are enough to find most defects.
    vec![
        Topology {
            name: "a lone writer beside a serializable reader",
            databases: vec![my(), Database::reader("r", Postgres, false, true)],
            processes: both(2),
            faults: 3,
            old_snapshots: true,
        },
        Topology {
            name: "a lone writer that records every commit",
            databases: vec![my().recorded()],
            processes: both(1),
            faults: 3,
            old_snapshots: true,
        },
        Topology {
            name: "a lone writer on a PostgreSQL that is asked for its fate",
            databases: vec![a()],
            processes: both(1),
            faults: 3,
            old_snapshots: true,
        },
        Topology {
            name: "a serializable reader beside two writers",
            databases: vec![a(), lite(), Database::reader("r", Postgres, false, true)],
            processes: both(3),
            faults: 1,
            old_snapshots: true,
        },
        Topology {
            name: "two hosts with a SQLite each share a MariaDB",
            databases: vec![my(), lite(), Database::elsewhere("lite", Sqlite)],
            processes: vec![ours(vec![0, 1]), ours(vec![0, 2])],
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "a process without the holder's bind",
            databases: vec![a(), my()],
            processes: vec![ours(vec![0, 1]), ours(vec![0])],
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "two applications on the same servers",
            databases: vec![a(), my()],
            processes: vec![
                ours(vec![0, 1]),
                Process {
                    namespace: "theirs",
                    binds: vec![0, 1],
                    operator: None,
                },
            ],
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "PostgreSQL, MariaDB, SQLite holds",
            databases: vec![a(), my(), lite()],
            processes: both(3),
            faults: 1,
            old_snapshots: true,
        },
        Topology {
            name: "two PostgreSQL",
            databases: vec![a().unidentified(), b()],
            processes: both(2),
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "a reader that wrote",
            databases: vec![my(), Database::reader("r", Postgres, true, false)],
            processes: both(2),
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "two MariaDB, one holds in one phase",
            databases: vec![other(), my()],
            processes: both(2),
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "an operator whose addresses lead elsewhere once the holder is lost",
            databases: vec![a(), b()],
            processes: vec![operated(vec![0, 1], Outcome::Committed), ours(vec![0, 1])],
            faults: 3,
            old_snapshots: true,
        },
        Topology {
            name: "an operator beside a coordinator that sees the horizon",
            databases: vec![a(), b()],
            processes: vec![operated(vec![0, 1], Outcome::RolledBack), ours(vec![0, 1])],
            faults: 1,
            old_snapshots: false,
        },
        Topology {
            name: "two operators contradict each other beside a slow coordinator",
            databases: vec![a(), b()],
            processes: vec![
                operated(vec![0, 1], Outcome::Committed),
                operated(vec![0, 1], Outcome::RolledBack),
            ],
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "two operators with different binds contradict each other",
            databases: vec![a(), b(), my()],
            processes: vec![
                operated(vec![0, 2], Outcome::Committed),
                operated(vec![1, 2], Outcome::RolledBack),
            ],
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "an operator without the holder contradicts one with it",
            databases: vec![a(), b(), my()],
            processes: vec![
                operated(vec![0, 1, 2], Outcome::RolledBack),
                operated(vec![1, 2], Outcome::Committed),
            ],
            faults: 2,
            old_snapshots: true,
        },
        Topology {
            name: "an operator does not know of a writer that was found late",
            databases: vec![a(), my(), Database::reader("r", Postgres, true, false)],
            processes: vec![
                operated(vec![0, 1], Outcome::Committed),
                operated(vec![1, 2], Outcome::RolledBack),
            ],
            faults: 2,
            old_snapshots: true,
        },
    ]
}
