//! Migrations in the program: run by one process at a time, per bind, in order, and never on the wrong database.

#![allow(
    unreachable_pub,
    reason = "shared by the modules; and a bind is as public as its type"
)]

mod binds;
mod database;
mod mounted;
mod order;
mod places;
mod pooler;
mod processes;
mod rebuild;
mod world;
