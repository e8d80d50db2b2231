//! Moves money between databases while processes and servers are killed, and looks whether any of it was lost.
//!
//! Several worker processes on two hosts (each has a SQLite file of its own, all share two PostgreSQL and two MariaDB
//! servers) move money in units over random sets of databases, and tell the director, by a line on a pipe, what they
//! were told. Recoverers run beside them. The director kills workers, recoverers and servers (SIGKILL) at random, and in
//! the end audits: no unit is torn, no answer was a lie, nothing is in doubt, and the sum holds.
//!
//! A test program of its own, because it kills servers that all tests use, and starts itself again as its workers.
//! `cargo xtask soak --units N [--seconds S]` runs a long one; under `cargo test` it is short.

mod audit;
mod bank;
mod director;
mod ledger;
mod settings;
mod worker;

use std::process::ExitCode;

use kit::harness;

use crate::settings::{Role, Settings};

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
        Role::Worker(site) => {
            runtime.block_on(worker::work(site));
            ExitCode::SUCCESS
        }
        Role::Recoverer(site) => {
            runtime.block_on(worker::recover(site));
            ExitCode::SUCCESS
        }
    }
}
