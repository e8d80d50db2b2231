//! Every ordinary query of Diesel finds its database by its type: on PostgreSQL, MariaDB and SQLite.
//!
//! Each backend has a file with its binds and with the queries that only it has. That file mounts the other files,
//! which contain the common queries. A table belongs to one bind, so each backend needs tables of its own.

#![allow(
    clippy::duplicate_mod,
    reason = "a behaviour is written once and mounted on each backend"
)]

mod mariadb;
mod postgres;
mod promises;
mod sqlite;
mod tables;
