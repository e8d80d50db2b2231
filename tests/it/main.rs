//! The integration tests, on real servers: one program, with a module for each subject.
//!
//! `cargo test --all-features --test it recovery::` runs the tests of one module. The crate `kit` has the parts that
//! tests share.
//!
//! All tests of the program run at the same time, on the same servers. So a test owns its databases and its namespace,
//! and changes no setting of a whole server, of the process or of its environment. A test that needs such a change
//! copies a server (`kit::copy`), or starts itself again with other variables. If neither is possible, the test is a
//! program of its own.

mod binding;
mod cancellation;
mod commit;
mod conflicts;
mod connections;
mod cost;
mod dead;
mod durable;
mod exchanged;
mod facts;
mod hooks;
mod migrations;
mod outer;
mod pages;
mod recovery;
mod registry;
mod retries;
mod roles;
mod sandbox;
mod scope;
mod self_test;
mod session_options;
mod suite;
mod testing;
mod tls;
mod units;
mod web;
