//! The facts about MySQL that the library relies on, and what is different from MariaDB. Everything else is tested by `it`
//! with MySQL in the place of MariaDB.
//!
//! The server is no part of the default set of servers, so neither is this program of a run of all tests (`test = false`
//! of its target). `cargo xtask test --set mysql` runs both, and `cargo test --all-features --test mysql` this one. It
//! fails without a server.

mod facts;
mod participant;
