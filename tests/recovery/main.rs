//! Recovery on real servers: what a process left prepared is finished by another one.

#[path = "../suite/mod.rs"]
mod suite;
#[path = "../support/mod.rs"]
mod support;

mod alarms;
mod application;
mod finish;
mod force;
mod forget;
mod lost_name;
mod replica;
mod worker;
