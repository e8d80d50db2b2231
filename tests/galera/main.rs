//! The integration tests on the two nodes of a Galera cluster, which only this program talks to: the behaviours of `it`
//! on a node, and what is different from a lone MariaDB.
//!
//! The cluster is no part of the default set of servers, so neither is this program of a run of all tests (`test = false`
//! of its target). `cargo test --all-features --test galera` runs it, and fails without a cluster.

#[path = "../it/suite/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod suite;

mod cluster;
mod conflicts;
mod fence;
mod roles;
