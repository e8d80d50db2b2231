//! A day in the life of a service: its servers misbehave one after the other, under load, and no money is lost.
//!
//! The service is a process of its own with axum, over a PostgreSQL and a MariaDB server that take encrypted
//! connections only, and a SQLite file. Clients send requests that move money between the databases. Meanwhile the
//! director restarts, kills and demotes servers, ends sessions, exhausts pools, replaces certificates, locks the file,
//! and kills the service. After each event the load pauses, and everything is audited: no unit is torn, no answer was
//! false, nothing is in doubt, no connection is left over.
//!
//! `cargo xtask day [--minutes N] [--seed N]` runs it. It starts itself again as the service.

mod audit;
mod bank;
mod clients;
mod director;
mod event;
mod ledger;
mod servers;
mod service;

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use kit::harness;

/// The length of a run without a setting, in seconds.
const SECONDS: u64 = 30;

fn main() -> ExitCode {
    if harness::is_filtered_out("day") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    if let Ok(urls) = env::var(service::URLS) {
        let urls: Vec<String> = urls.lines().map(str::to_owned).collect();
        runtime.block_on(service::serve(&urls));
        return ExitCode::SUCCESS;
    }
    let length = harness::number("DIESEL_BINDS_DAY_SECONDS").unwrap_or(SECONDS);
    let seed = harness::number("DIESEL_BINDS_DAY_SEED").unwrap_or_else(|| fastrand::u64(..));
    runtime.block_on(director::direct(Duration::from_secs(length), seed))
}
