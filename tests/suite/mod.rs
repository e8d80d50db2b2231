//! The behaviours, each written once, over any backend, pool and combination of databases.
//!
//! `side` is one database, `world` some of them, `faulty` some behind proxies; `prepared` is what they left on the
//! servers. The other modules hold behaviours, as functions that are generic over both; `tests/units.rs`,
//! `tests/session_options.rs` and `tests/commit` mount them.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    unused_macros,
    reason = "each test binary compiles this module, and uses its own part of it"
)]

pub mod after_begin;
pub mod atomic;
pub mod cancel;
pub mod closures;
pub mod deadline;
pub mod declared;
pub mod ended;
pub mod faulty;
#[cfg(feature = "testing")]
pub mod hooks;
pub mod joining;
pub mod lost;
pub mod mount;
pub mod nested;
pub mod options;
pub mod polls;
pub mod prepared;
pub mod read_only;
#[cfg(feature = "testing")]
pub mod retries;
#[cfg(feature = "testing")]
pub mod sandbox;
pub mod savepoints;
pub mod scoped;
pub mod side;
pub mod step;
pub mod world;
