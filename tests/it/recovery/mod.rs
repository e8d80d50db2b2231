//! Recovery on real servers: what a process left prepared is finished by another one.

mod alarms;
mod clocks;
mod finish;
mod force;
mod forget;
mod late;
mod lost_name;
mod names;
mod parts;
mod replica;
mod worker;
