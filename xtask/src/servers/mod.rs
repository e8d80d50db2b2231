//! The private database servers, and the tasks that manage them.
//!
//! [`Server`] names a server, and [`Set`] those that start together. [`package`] fetches the programs of later releases.
//! [`engine`] creates and runs each kind. [`home`] has the places of its files and the
//! account that owns them. [`process`] sends signals. [`state`] is the file through which tests find the servers.

mod engine;
mod galera;
mod home;
mod mysql;
mod package;
mod pgbouncer;
mod port;
mod postgres;
mod process;
pub(crate) mod programs;
mod server;
mod set;
mod state;

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context, Result, anyhow, bail};

use crate::servers::engine::Instance;
use crate::servers::state::{Record, ServersState};

pub(crate) use crate::servers::server::Server;
pub(crate) use crate::servers::set::Set;

/// The variable with the names of the servers that those of MySQL take the places of in the tests.
pub(crate) const REPLACED: &str = "DIESEL_BINDS_TEST_MYSQL";

/// The data that a server starts with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Data {
    /// The data of the last stop.
    Kept,
    /// No data.
    Fresh,
}

/// Starts every server of the set that does not run, waits until all answer, and returns those that it started.
pub(crate) fn start(set: Set, data: Data) -> Result<Vec<Server>> {
    let mut state = ServersState::lock()?;
    for package in set.packages() {
        package.fetch()?;
    }
    let mut waiting = Vec::new();
    let mut taken = state.ports();
    let mut ports = state.port_of_each(set);
    for &server in set.servers() {
        let mut instance = Instance::of(set, server, state.record(set, server))?;
        if instance.is_running() {
            if state.record(set, server).is_some() {
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
    let results = match set {
        Set::Galera => galera::start(&mut waiting),
        _ => start_together(&mut waiting, data),
    };
    let mut started = Vec::new();
    let mut outcome = Ok(());
    for (instance, result) in waiting.iter().zip(results) {
        match result {
            Ok(()) => started.push(instance.server()),
            Err(error) => {
                outcome = Err(error.context(format!("cannot start {}", instance.server())))
            }
        }
        state.insert(set, instance.server(), Record::of(instance));
    }
    state.save()?;
    drop(state);
    match outcome {
        Ok(()) => Ok(started),
        Err(error) => {
            stop(set, &started).context(format!(
                "{error:#}; besides, stopping the other servers failed"
            ))?;
            Err(error)
        }
    }
}

/// Starts these servers, and waits until each answers. Returns the result of each.
fn start_together(waiting: &mut [Instance], data: Data) -> Vec<Result<()>> {
    thread::scope(|scope| {
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
            .collect()
    })
}

/// Stops these servers of the set, and waits until they are gone.
pub(crate) fn stop(set: Set, servers: &[Server]) -> Result<()> {
    let mut state = ServersState::lock()?;
    for &server in servers {
        if !may_exist(&state, set, server) {
            continue;
        }
        let mut instance = Instance::of(set, server, state.record(set, server))?;
        instance
            .stop()
            .with_context(|| format!("cannot stop {server}"))?;
        state.stopped(set, server);
    }
    state.save()
}

/// Stops every server of the set, or of all sets.
pub(crate) fn stop_all(set: Option<Set>) -> Result<()> {
    for set in chosen(set) {
        stop(set, set.servers())?;
    }
    Ok(())
}

/// Kills a server and all its processes with SIGKILL.
pub(crate) fn kill(set: Set, server: Server) -> Result<()> {
    let set = set.with(server);
    let mut state = ServersState::lock()?;
    let mut instance = Instance::of(set, server, state.record(set, server))?;
    if !instance.is_running() {
        bail!("{server} is not running");
    }
    instance.kill()?;
    state.stopped(set, server);
    state.save()
}

/// Stops a server if it runs, and starts it again with its data, at the same address.
pub(crate) fn restart(set: Set, server: Server) -> Result<()> {
    let set = set.with(server);
    let mut state = ServersState::lock()?;
    let record = state
        .record(set, server)
        .with_context(|| format!("{server} was never started"))?;
    let mut instance = Instance::of(set, server, Some(record))?;
    instance.follow(&state.port_of_each(set));
    instance.stop()?;
    instance
        .start(Data::Kept)
        .with_context(|| format!("cannot restart {server}"))?;
    state.insert(set, server, Record::of(&instance));
    state.save()
}

/// Stops every server and deletes all data.
pub(crate) fn clean() -> Result<()> {
    stop_all(None)?;
    let state = ServersState::lock()?;
    for set in Set::ALL {
        for &server in set.servers() {
            if may_exist(&state, set, server) {
                Instance::of(set, server, state.record(set, server))?.delete()?;
            }
        }
    }
    state.delete()
}

/// Returns the chosen set, or all of them.
fn chosen(set: Option<Set>) -> impl Iterator<Item = Set> {
    Set::ALL
        .into_iter()
        .filter(move |one| set.is_none_or(|set| set == *one))
}

/// Returns whether a server may have files. Those of the tests can outlive the state, if the target folder was deleted.
fn may_exist(state: &ServersState, set: Set, server: Server) -> bool {
    set == Set::Installed || state.record(set, server).is_some()
}

/// Returns the environment variables with the URLs of the servers for the tests: those of the set, and of other sets
/// that run and have other names.
pub(crate) fn environment(set: Set) -> Result<BTreeMap<&'static str, String>> {
    let state = ServersState::lock()?;
    let mut environment = BTreeMap::from([(Set::VARIABLE, set.name().to_owned())]);
    if set == Set::Mysql {
        environment.insert(REPLACED, "mariadb-a,mariadb-b".to_owned());
    }
    let others = [Set::Mysql, Set::Galera];
    for one in [set].into_iter().chain(others) {
        for &server in one.servers() {
            if one != set && state.record(one, server).is_none() {
                continue;
            }
            let instance = Instance::of(one, server, state.record(one, server))?;
            if instance.is_running() {
                environment.insert(server.variable(), instance.url());
            } else if one == set {
                bail!("{server} is not running: run `cargo xtask servers start --set {set}`");
            }
        }
    }
    Ok(environment)
}

/// Prints a line for each server of the set, or of all sets that were started.
pub(crate) fn print_status(wanted: Option<Set>) -> Result<()> {
    let state = ServersState::lock()?;
    for set in chosen(wanted) {
        let record = |server: &Server| state.record(set, *server);
        let was_started = set.servers().iter().any(|server| record(server).is_some());
        if was_started || set == wanted.unwrap_or_default() {
            print_set(&state, set)?;
        }
    }
    Ok(())
}

fn print_set(state: &ServersState, set: Set) -> Result<()> {
    for &server in set.servers() {
        let name = set.folder(server);
        let Some(record) = state.record(set, server) else {
            println!("{name:<20} not started yet");
            continue;
        };
        let instance = Instance::of(set, server, Some(record))?;
        let status = match instance.pid() {
            Some(pid) => format!("running, pid {pid}, {}", record.url),
            None => String::from("stopped"),
        };
        println!("{name:<20} {status}, log in {}", record.log.display());
    }
    Ok(())
}
