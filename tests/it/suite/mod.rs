//! The behaviours, each written once, as functions that are generic over the databases (`kit::side`, `kit::world`).
//!
//! The modules beside this one mount them: `mount` makes a test of each behaviour, on each combination of databases,
//! with each pool.

pub(crate) mod after_begin;
pub(crate) mod atomic;
pub(crate) mod cancel;
pub(crate) mod closures;
pub(crate) mod conflicts;
pub(crate) mod dead;
pub(crate) mod deadline;
pub(crate) mod declared;
pub(crate) mod described;
pub(crate) mod ended;
pub(crate) mod hooks;
pub(crate) mod lost;
pub(crate) mod mount;
pub(crate) mod nested;
pub(crate) mod options;
pub(crate) mod outer;
pub(crate) mod polls;
pub(crate) mod read_only;
pub(crate) mod reentry;
pub(crate) mod retries;
pub(crate) mod sandbox;
pub(crate) mod savepoints;
pub(crate) mod scoped;
pub(crate) mod second;
pub(crate) mod swapped;
pub(crate) mod undone;
pub(crate) mod undone_within;
