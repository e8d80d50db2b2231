//! Recovery on real servers: one process finishes the branches that another one left prepared.

mod alarms;
mod clocks;
mod finish;
mod force;
mod forget;
mod late;
mod lost_name;
mod names;
mod parts;
mod refused_login;
mod replica;
mod worker;
