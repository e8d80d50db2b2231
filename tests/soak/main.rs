//! Moves money between databases while processes and servers are killed, and checks that none is lost.
//!
//! Several worker processes run on two hosts. Each host has a SQLite file of its own, and all share two PostgreSQL and
//! two MariaDB servers (with `--mysql`, two MySQL servers; with `--galera`, a cluster of which each host uses another node,
//! and no file). The workers move money in units over random sets of databases, and report their results to the
//! director by lines on a pipe. Recoverers run beside them. The director kills workers, recoverers and servers
//! (SIGKILL) at random, and audits in the end: no unit is torn, no result was false, nothing is in doubt, and the sum
//! is right.
//!
//! The soak is a test program of its own, because it kills servers that all tests use, and starts itself again as its
//! workers. `cargo xtask soak --units N [--seconds S]` runs a long one; under `cargo test` it is short.

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
