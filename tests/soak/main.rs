//! Moves money between databases while processes and servers are killed, and looks whether any of it was lost.
//!
//! Several worker processes on two hosts (each has a SQLite file of its own, all share two PostgreSQL and two MariaDB
//! servers) move money in units over random sets of databases, and tell the director, by a line on a pipe, what they
//! were told. Recoverers run beside them. The director kills workers, recoverers and servers (SIGKILL) at random, and in
//! the end audits: no unit is torn, no answer was a lie, nothing is in doubt, and the sum holds.
//!
//! `cargo xtask soak --units N [--seconds S]` runs a long one; under `cargo test` it is short.

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod bank;
mod director;
mod ledger;
mod settings;
mod worker;

use std::process::ExitCode;

use crate::settings::{Role, Settings};
use crate::support::harness;

fn main() -> ExitCode {
    if harness::is_filtered_out("soak") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    match Role::of_this_process() {
        Role::Director => runtime.block_on(director::direct(Settings::from_environment())),
        Role::Worker(place) => {
            runtime.block_on(worker::work(place));
            ExitCode::SUCCESS
        }
        Role::Recoverer(place) => {
            runtime.block_on(worker::recover(place));
            ExitCode::SUCCESS
        }
    }
}
