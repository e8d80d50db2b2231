//! What integration tests share: servers, databases of their own, a faulty network, crashes.
//!
//! [`servers`] tells where the servers are, [`database`] makes a fresh database for each test, [`admin`] is a connection
//! past everything, [`look`] tells what is open or prepared in a database, [`proxy`] stands between a test and its
//! server, [`pooler`] is a pgbouncer in front of one, [`standby`] a replica of one, [`kill`] crashes a server and brings it back,
//! [`harness`] is for test programs that are not made of `#[test]` functions.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each test binary compiles this module, and uses its own part of it"
)]

pub mod admin;
pub mod database;
pub mod harness;
pub mod kill;
pub mod look;
pub mod pooler;
pub mod proxy;
pub mod servers;
pub mod standby;
