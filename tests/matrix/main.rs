//! Every fault at every point of a commit, on real servers, over every combination of databases.
//!
//! A *case* is a unit over two to four databases, and its faults. Its process or the process of a server is killed
//! (SIGKILL) at a named point of the commit. A message or a reply is lost or late, or half of a connection is closed.
//! Another process recovers while the commit is under way. An operator cancels its statements, ends its sessions, leads
//! an address elsewhere, takes a standby away, or forces the unit. After each case, the judge examines the databases:
//! the unit is everywhere or nowhere, and the result for its caller is true. Another process has recovered within five
//! seconds after the servers are back, so that nothing is prepared and no transaction is open.
//!
//! `case` has the faults, `list` finds all of them for a topology, `stage` makes them happen. `judge` examines the
//! databases, with the earlier units (`history`). `director` runs all cases and prints the table. The matrix is a test
//! program of its own, because it kills servers that all tests use. `cargo xtask matrix --all` runs everything; under
//! `cargo test` it is a random slice, whose seed is printed.

mod armed;
mod away;
mod beside;
mod case;
mod class;
mod director;
mod elsewhere;
mod history;
mod judge;
mod list;
mod network;
mod operator;
mod recoverer;
mod settings;
mod stage;
mod table;
mod topology;
mod unit;

use std::process::ExitCode;

use kit::harness;

use crate::settings::{Role, Settings};
use crate::topology::with_sides;

fn main() -> ExitCode {
    if harness::is_filtered_out("matrix") {
        return ExitCode::SUCCESS;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be made");
    runtime.block_on(async {
        match Role::of_this_process() {
            Role::Director => return director::direct(&Settings::from_environment()).await,
            Role::Coordinator(site, attempt) => {
                with_sides!(site.topology, unit::as_process(&site, &attempt));
            }
            Role::Recoverer(site) => with_sides!(site.topology, recoverer::recover(&site)),
        }
        ExitCode::SUCCESS
    })
}
