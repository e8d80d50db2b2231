//! Command line of the development tasks: `cargo xtask <task>`.

mod checks;
mod command;
mod compatibility;
mod day;
mod links;
mod matrix;
mod metadata;
mod package;
mod packages;
mod servers;
mod soak;
mod surface;
mod test;
mod tools;
mod trace_cost;
mod web_load;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use crate::servers::{Data, Server, Set};

/// Development tasks of diesel-binds.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Task {
    /// Manage the private database servers that the tests use
    #[command(subcommand)]
    Servers(ServersTask),
    /// Install missing programs, start the servers, run all tests, stop the servers
    Test {
        #[command(flatten)]
        chosen: Chosen,
        /// Further arguments for `cargo test --workspace --all-features`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
    /// Build the Diesel CLI that the tests of the command line run, unless it is there
    Diesel,
    /// Move money between all databases while processes and servers are killed, and audit the result
    Soak(soak::Soak),
    /// Run a service under load while its servers misbehave, and audit it after each event
    Day(day::Day),
    /// Load the example service with wrk while clients disconnect, and audit the result
    WebLoad(web_load::WebLoad),
    /// Measure the cost of spans and events without a subscriber, against a build without any
    TraceCost,
    /// Fail at every point of a commit in every way, over every combination of databases
    Matrix(matrix::Matrix),
    /// Run tests against servers of later releases, and make the table of `docs/compatibility.md`
    Compatibility(compatibility::Compatibility),
    /// Check the formatting, and run clippy on everything, warnings denied
    Lint,
    /// Build the documentation, warnings denied, and follow its links
    Docs,
    /// Compare the public surface of the library with `docs/public-api.txt`
    Surface(surface::Surface),
    /// Check the feature matrix, warnings denied
    Features,
    /// Pack the crates as for publication, check their files, and build each from its package
    Package,
    /// Check the dependencies against `deny.toml`: licences, duplicates, sources, advisories
    Deny,
    /// Compare the public API with the last published version
    Semver,
    /// Run all checks of continuous integration: lint, docs, surface, features, package, test
    Ci,
}

#[derive(Subcommand)]
enum ServersTask {
    /// Start every server of a set that does not run yet
    Start(Chosen),
    /// Stop every server; the data stays
    Stop(OneOrAll),
    /// Print which servers run, and the places of their files and logs
    Status(OneOrAll),
    /// Print the environment that points the tests to the servers, for `eval`
    Env(Chosen),
    /// Kill one server with SIGKILL, as a crash would
    Kill {
        server: Server,
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Start one server again at the same address, after stopping it if it runs
    Restart {
        server: Server,
        #[command(flatten)]
        chosen: Chosen,
    },
    /// Stop every server and delete the data
    Clean,
}

/// The set of servers of a task.
#[derive(Args, Clone, Copy)]
struct Chosen {
    /// The set of servers
    #[arg(long, value_enum, default_value_t, env = Set::VARIABLE)]
    set: Set,
}

#[derive(Args, Clone, Copy)]
struct OneOrAll {
    /// The set of servers; all sets without it
    #[arg(long, value_enum)]
    set: Option<Set>,
}

fn main() -> ExitCode {
    if let Some(code) = surface::run_as_rustdoc() {
        return code;
    }
    match run(Task::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::Servers(task) => manage_servers(&task),
        Task::Test { chosen, arguments } => test::run_all(chosen.set, &arguments),
        Task::Diesel => {
            packages::install_missing()?;
            tools::DIESEL.install()
        }
        Task::Soak(soak) => soak.run(),
        Task::Day(day) => day.run(),
        Task::WebLoad(load) => load.run(),
        Task::TraceCost => trace_cost::run_comparison(),
        Task::Matrix(matrix) => matrix.run(),
        Task::Compatibility(compatibility) => compatibility.run(),
        Task::Lint => checks::lint(),
        Task::Docs => checks::docs(),
        Task::Surface(surface) => surface.run(),
        Task::Features => checks::features(),
        Task::Package => package::package(),
        Task::Deny => checks::deny(),
        Task::Semver => checks::semver(),
        Task::Ci => {
            checks::lint()?;
            checks::docs()?;
            surface::Surface::default().run()?;
            checks::features()?;
            package::package()?;
            test::run_all(Set::Installed, &[])
        }
    }
}

fn manage_servers(task: &ServersTask) -> Result<()> {
    match task {
        ServersTask::Start(Chosen { set }) => {
            servers::start(*set, Data::Kept)?;
            servers::print_status(Some(*set))
        }
        ServersTask::Stop(OneOrAll { set }) => servers::stop_all(*set),
        ServersTask::Status(OneOrAll { set }) => servers::print_status(*set),
        ServersTask::Env(Chosen { set }) => {
            for (variable, url) in servers::environment(*set)? {
                println!("export {variable}='{url}'");
            }
            Ok(())
        }
        ServersTask::Kill { server, chosen } => servers::kill(chosen.set, *server),
        ServersTask::Restart { server, chosen } => servers::restart(chosen.set, *server),
        ServersTask::Clean => servers::clean(),
    }
}
