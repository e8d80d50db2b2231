//! Shared parts of the integration tests: servers, databases, a faulty network, crashes, and binds over them.
//!
//! [`servers`] has the addresses of the servers. [`database`] makes a fresh database for each test. [`admin`] is a
//! direct connection. [`look`] shows the open and prepared transactions of a database. [`proxy`] stands between a test
//! and its server, [`rerouting`] is a proxy that goes on with another session, [`pooler`] a pgbouncer in front of a
//! server. [`copy`] makes a copy of a server, [`standby`] a replica, [`semisync`] a MariaDB server whose commits wait
//! for a replica, [`own_server`] any other server of MariaDB or MySQL. [`secure_postgres`], [`secure_mariadb`] and
//! [`secure_mysql`] take encrypted connections only, [`certificates`] makes what they show, [`in_the_clear`] takes none,
//! and [`stripping`] is a proxy that takes TLS away. [`port`] finds ports for them. [`kill`] crashes a server and brings
//! it back. [`harness`] is for test programs that are not made of
//! `#[test]` functions.
//!
//! [`side`] is a bind of one database, [`world`] several of them, [`faulty`] several behind proxies, [`application`]
//! one of each backend with the branches of dead processes. [`step`] is a step of a unit on a bind, [`phase`] the
//! phase in which one of its messages is lost. [`prepared`] finishes branches and reads decisions on the servers,
//! [`source`] has migrations made in the test.
//!
//! The kit is a crate, so that it is compiled once for all programs that need it. It depends on the library that it
//! tests, with every feature that it uses. Therefore every test program is built with these features.

pub mod admin;
pub mod application;
pub mod certificates;
pub mod copy;
pub mod database;
mod ended;
pub mod faulty;
pub mod harness;
pub mod in_the_clear;
pub mod kill;
pub mod look;
pub mod own_server;
pub mod phase;
pub mod pooler;
pub mod port;
pub mod prepared;
pub mod proxy;
mod recovered;
pub mod rerouting;
pub mod resetting;
pub mod secure_mariadb;
pub mod secure_mysql;
pub mod secure_postgres;
pub mod semisync;
pub mod servers;
pub mod side;
pub mod source;
pub mod standby;
pub mod step;
pub mod stripping;
pub mod world;
