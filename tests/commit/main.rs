//! The commit protocol under faults, on real servers.

#[path = "../suite/mod.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;

mod best_effort;
mod lone;
mod lost;
mod pair;
mod pools;
mod readers;
mod refused;
mod settings;
mod tables;
