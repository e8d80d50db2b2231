//! The integration tests on MySQL, which only this program talks to: the behaviours of `it`, mounted on MySQL alone and
//! beside other databases, the facts that the library relies on, and what is different from MariaDB.
//!
//! The server is no part of the default set of servers, so neither is this program of a run of all tests (`test = false`
//! of its target). `cargo test --all-features --test mysql` runs it, and fails without a server.

#[path = "../it/suite/mod.rs"]
#[allow(dead_code, unused_imports, unused_macros)]
mod suite;

mod cancellation;
mod facts;
mod lost;
mod outer;
mod participant;
mod sandbox;
mod units;
