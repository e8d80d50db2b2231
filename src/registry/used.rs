//! The servers on which this process has used the database of a bind. A copy of a database has its id, so recovery
//! compares the server that answers with these. No I/O.

use crate::backend::{Lineage, Succession};
use crate::gid::{DatabaseId, Gid};

/// The servers on which this process has used the database of a bind, each until another one has followed it for
/// certain.
#[derive(Debug, Default)]
pub(crate) struct UsedServers(Vec<UsedServer>);

#[derive(Debug)]
struct UsedServer {
    database: DatabaseId,
    lineage: Lineage,
    /// The last unit whose decision the server has confirmed to this process.
    confirmed: Option<Gid>,
}

/// The comparison of an answering server with those that this process has used.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// `true` if no server has been used.
    pub(super) is_first: bool,
    /// `true` if this server has been used.
    pub(super) is_known: bool,
    /// The confirmed decisions that the server must have.
    pub(super) required: Vec<Gid>,
    /// The ids that a copy would have, and the difference between the servers.
    pub(super) copies: Vec<(DatabaseId, &'static str)>,
}

impl UsedServers {
    /// Notes that the database is used on this server.
    pub(super) fn note(&mut self, database: DatabaseId, lineage: &Lineage) {
        self.at(database, lineage);
    }

    /// Notes that this server has confirmed the decision of a unit.
    pub(super) fn note_decision(&mut self, gid: &Gid, lineage: &Lineage) {
        self.at(gid.holder_id, lineage).confirmed = Some(gid.clone());
    }

    /// Compares an answering server with the used ones.
    pub(super) fn compare(&self, found: &Lineage) -> Comparison {
        let mut comparison = Comparison {
            is_first: self.0.is_empty(),
            ..Comparison::default()
        };
        for used in &self.0 {
            match found.succession(&used.lineage) {
                Succession::Same => comparison.is_known = true,
                // A standby without synchronous replication, or a restored backup, may lack confirmed decisions.
                Succession::Promoted | Succession::Unknown => {
                    comparison.required.extend(used.confirmed.clone());
                }
                Succession::Other(sign) => comparison.copies.push((used.database, sign)),
            }
        }
        comparison
    }

    /// Notes that recovery trusts a server, which has followed the others that it was promoted from: none of them is
    /// trusted any more.
    pub(super) fn trust(&mut self, database: DatabaseId, lineage: &Lineage) {
        let mut confirmed = None;
        self.0.retain(|used| {
            let is_followed = lineage.succession(&used.lineage) == Succession::Promoted;
            if is_followed {
                confirmed = used.confirmed.clone().or(confirmed.take());
            }
            !is_followed
        });
        let trusted = self.at(database, lineage);
        trusted.confirmed = trusted.confirmed.take().or(confirmed);
    }

    /// Forgets all servers: an operator has said which one has the database.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the entry of a server. Servers without any id of their own share one.
    fn at(&mut self, database: DatabaseId, lineage: &Lineage) -> &mut UsedServer {
        let is_it = |used: &UsedServer| {
            let neither = used.lineage.persistent_id.is_none() && lineage.persistent_id.is_none();
            used.database == database && (neither || lineage.is_same(&used.lineage))
        };
        match self.0.iter().position(is_it) {
            Some(index) => {
                let used = &mut self.0[index];
                // After a restart, the start time differs; over another address, the id does.
                if used.lineage != *lineage
                    && (lineage.persistent_id.is_some() || used.lineage.persistent_id.is_none())
                {
                    used.lineage = lineage.clone();
                }
                used
            }
            None => {
                self.0.push(UsedServer {
                    database,
                    lineage: lineage.clone(),
                    confirmed: None,
                });
                self.0.last_mut().expect("a server was pushed")
            }
        }
    }
}
