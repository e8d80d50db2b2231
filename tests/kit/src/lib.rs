//! What the integration tests share: servers, databases of their own, a faulty network, crashes, and binds over them.
//!
//! [`servers`] tells where the servers are, [`database`] makes a fresh database for each test, [`admin`] is a
//! connection past everything, [`look`] tells what is open or prepared in a database, [`proxy`] stands between a test
//! and its server, [`rerouting`] one that goes on with another session, [`pooler`] is a pgbouncer in front of one, [`copy`] a server that was copied from one, [`standby`] a
//! replica of one, [`semisync`] a MariaDB server whose commits wait for a replica, [`port`] finds ports for them,
//! [`kill`] crashes a server and brings it back, [`harness`] is for test programs that are not made of `#[test]`
//! functions.
//!
//! [`side`] is a bind of one database, [`world`] several of them, [`faulty`] several behind proxies, [`application`] one of
//! each backend with what processes left that died; [`step`] is what a unit does on a bind, [`moment`] when a message of
//! it is lost, [`prepared`] what units left on the servers, [`source`] migrations made in the test.
//!
//! A crate, so that it is compiled once for all programs that need it. It depends on the library that it tests, with every
//! feature that it uses: so a program of the tests is always built with these.

pub mod admin;
pub mod application;
pub mod copy;
pub mod database;
pub mod faulty;
pub mod harness;
pub mod kill;
pub mod look;
pub mod moment;
pub mod pooler;
pub mod port;
pub mod prepared;
pub mod proxy;
pub mod rerouting;
pub mod semisync;
pub mod servers;
pub mod side;
pub mod source;
pub mod standby;
pub mod step;
pub mod world;
