//! Branches that a server lists as prepared.

use std::time::Duration;

use crate::gid::{Branch, UnitId};

/// A branch of a unit of this library that a server lists as prepared.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its name, as the server lists it.
    pub name: String,
    /// The application that it belongs to.
    pub namespace: String,
    /// Its unit.
    pub unit: UnitId,
    /// The key of its bind.
    pub bind: String,
    /// What it is, if something says who holds its decision.
    pub branch: Option<Branch>,
    /// How long it has been prepared, if the server says so.
    pub age: Option<Duration>,
    /// Whether it can be finished from here.
    pub reach: Reach,
}

/// Whether a branch can be finished on the connection that found it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It can.
    Here,
    /// Only in another database of the server (PostgreSQL).
    OtherDatabase(String),
    /// Only by another role (PostgreSQL).
    OtherRole(String),
    /// Only after a restart of the server, which has lost its name (MariaDB).
    Lost,
}
