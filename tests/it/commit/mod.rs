//! The commit protocol under faults, on real servers.

mod best_effort;
mod copied;
mod lone;
mod lost;
pub(crate) mod pair;
mod pools;
mod readers;
mod recorded;
mod refused;
mod settings;
mod tables;
mod unfit;
