//! The private database servers, and the tasks that manage them.
//!
//! [`Server`] names a server. [`engine`] creates and runs each kind. [`home`] has the places of its files and the
//! account that owns them. [`process`] sends signals. [`state`] is the file through which tests find the servers.

mod engine;
mod home;
mod mariadb;
mod pgbouncer;
mod port;
mod postgres;
mod process;
pub(crate) mod programs;
mod server;
mod state;

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use crate::servers::engine::Instance;
use crate::servers::state::{Record, ServersState};

pub(crate) use crate::servers::server::Server;

/// The data that a server starts with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// The data of the last stop.
    Kept,
    /// No data.
    Fresh,
}

/// Starts every server that does not run, waits until all answer, and returns those that it started.
pub(crate) fn start(data: Data) -> Result<Vec<Server>> {
    let mut state = ServersState::lock()?;
    let mut waiting = Vec::new();
    let mut taken = state.ports();
    let mut ports = state.port_of_each();
    for server in Server::ALL {
        let mut instance = Instance::of(server, state.record(server))?;
        if instance.is_running() {
            if state.record(server).is_some() {
                continue;
            }
            // The target folder of this server was deleted, and with it its state and its port.
            instance.stop()?;
        }
        instance.choose_port(&taken)?;
        taken.push(instance.port());
        ports.insert(server, instance.port());
        instance.follow(&ports);
        waiting.push(instance);
    }
    let results = thread::scope(|scope| {
        let threads: Vec<_> = waiting
            .iter_mut()
            .map(|instance| scope.spawn(|| instance.start(data)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow!("starting a server panicked")))
            })
            .collect::<Vec<_>>()
    });
    let mut started = Vec::new();
    let mut outcome = Ok(());
    for (instance, result) in waiting.iter().zip(results) {
        match result {
            Ok(()) => started.push(instance.server()),
            Err(error) => {
                outcome = Err(error.context(format!("cannot start {}", instance.server())))
            }
        }
        state.insert(instance.server(), Record::of(instance));
    }
    state.save()?;
    drop(state);
    match outcome {
        Ok(()) => Ok(started),
        Err(error) => {
            stop(&started).context(format!(
                "{error:#}; besides, stopping the other servers failed"
            ))?;
            Err(error)
        }
    }
}

/// Stops these servers, and waits until they are gone.
pub(crate) fn stop(servers: &[Server]) -> Result<()> {
    let mut state = ServersState::lock()?;
    for &server in servers {
        let mut instance = Instance::of(server, state.record(server))?;
        instance
            .stop()
            .with_context(|| format!("cannot stop {server}"))?;
        state.stopped(server);
    }
    state.save()
}

/// Stops every server.
pub(crate) fn stop_all() -> Result<()> {
    stop(&Server::ALL)
}

/// Kills a server and all its processes with SIGKILL.
pub(crate) fn kill(server: Server) -> Result<()> {
    let mut state = ServersState::lock()?;
    let mut instance = Instance::of(server, state.record(server))?;
    if !instance.is_running() {
        bail!("{server} is not running");
    }
    instance.kill()?;
    state.stopped(server);
    state.save()
}

/// Stops a server if it runs, and starts it again with its data, at the same address.
pub(crate) fn restart(server: Server) -> Result<()> {
    let mut state = ServersState::lock()?;
    let record = state
        .record(server)
        .with_context(|| format!("{server} was never started"))?;
    let mut instance = Instance::of(server, Some(record))?;
    instance.follow(&state.port_of_each());
    instance.stop()?;
    instance
        .start(Data::Kept)
        .with_context(|| format!("cannot restart {server}"))?;
    state.insert(server, Record::of(&instance));
    state.save()
}

/// Stops every server and deletes all data.
pub(crate) fn clean() -> Result<()> {
    stop_all()?;
    let state = ServersState::lock()?;
    for server in Server::ALL {
        Instance::of(server, state.record(server))?.delete()?;
    }
    state.delete()
}

/// Returns the environment variables with the URLs of the servers for the tests.
pub(crate) fn environment() -> Result<BTreeMap<&'static str, String>> {
    let state = ServersState::lock()?;
    let mut environment = BTreeMap::new();
    for server in Server::ALL {
        let instance = Instance::of(server, state.record(server))?;
        if !instance.is_running() {
            bail!("{server} is not running: run `cargo xtask servers start`");
        }
        environment.insert(server.variable(), instance.url());
    }
    Ok(environment)
}

/// Prints a line for each server.
pub(crate) fn print_status() -> Result<()> {
    let state = ServersState::lock()?;
    for server in Server::ALL {
        let Some(record) = state.record(server) else {
            println!("{:<15} not started yet", server.name());
            continue;
        };
        let instance = Instance::of(server, Some(record))?;
        let status = match instance.pid() {
            Some(pid) => format!("running, pid {pid}, {}", record.url),
            None => String::from("stopped"),
        };
        println!(
            "{:<15} {status}, log in {}",
            server.name(),
            record.log.display()
        );
    }
    Ok(())
}
