//! Branches that a server lists as prepared.

use std::time::Duration;

use crate::gid::{Branch, UnitId};

/// A branch of a unit of this library that a server lists as prepared.
#[derive(Clone, Debug)]
pub struct ListedBranch {
    /// The name of the branch, as the server lists it.
    pub name: String,
    /// The namespace of the application that the branch belongs to.
    pub namespace: String,
    /// The unit of the branch.
    pub unit: UnitId,
    /// The key of the bind of the branch.
    pub bind: String,
    /// The identity of the branch, if it is known which database holds its decision.
    pub branch: Option<Branch>,
    /// The time since the prepare, if the server reports it.
    pub age: Option<Duration>,
    /// The place from which the branch can be finished.
    pub reach: Reach,
}

/// The place from which a branch can be finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// This connection.
    Here,
    /// Another database of the server (PostgreSQL).
    OtherDatabase(String),
    /// A connection of another role (PostgreSQL).
    OtherRole(String),
    /// A connection after the next restart of the server, which has lost the name of the branch (MariaDB).
    Lost,
}
