//! `cargo xtask test`: all tests, against private servers.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;

use anyhow::{Result, bail};

use crate::command::{cargo, run};
use crate::packages;
use crate::servers::{self, Data, Set};
use crate::{tools, workspace};

/// The variable for the number of concurrent tests of a binary.
const THREADS: &str = "RUST_TEST_THREADS";

/// Runs `cargo test` with the servers up.
///
/// Servers that were not running before start with fresh data, and are stopped in the end, even if a test fails.
/// Servers that `cargo xtask servers start` left running are used, and keep running.
pub(crate) fn run_all(set: Set, arguments: &[String]) -> Result<()> {
    if set == Set::Mysql {
        return with_mysql(|environment| {
            let mut test = on_mysql()?;
            run(test.args(arguments).envs(environment))
        });
    }
    with_set(set, |environment| {
        tools::DIESEL.install()?;
        let mut test = cargo(&["test", "--workspace", "--all-features", "--no-fail-fast"]);
        with_many_threads(&mut test)?;
        run(test.args(arguments).envs(environment))
    })
}

/// Returns the command that runs the tests on MySQL: those of MariaDB with MySQL in its place, and those of MySQL alone.
pub(crate) fn on_mysql() -> Result<Command> {
    let mut test = cargo(&["test", "--all-features", "--no-fail-fast"]);
    test.args(["--test", "it", "--test", "mysql", "--"]);
    // What is true of MariaDB alone.
    test.args(["--skip", "facts::mariadb"]);
    with_many_threads(&mut test)?;
    Ok(test)
}

/// Runs some work with MySQL in the place of MariaDB.
pub(crate) fn with_mysql(
    work: impl FnOnce(BTreeMap<&'static str, String>) -> Result<()>,
) -> Result<()> {
    with_servers(|mut environment| {
        with_set(Set::Mysql, |of_mysql| {
            environment.extend(of_mysql);
            work(environment)
        })
    })
}

/// Runs one test binary with these variables and with the servers up, those of the tests and those of `further`.
pub(crate) fn run_one(
    name: &str,
    further: Option<Set>,
    variables: &[(impl AsRef<OsStr>, String)],
) -> Result<()> {
    let work = |environment| {
        let mut test = cargo(&["test", "--quiet", "--all-features", "--test", name]);
        let variables = variables.iter().map(|(name, value)| (name, value));
        test.env("TMPDIR", workspace::scratch());
        let environment: BTreeMap<&'static str, String> = environment;
        run(test.envs(environment).envs(variables))
    };
    match further {
        None => with_servers(work),
        Some(further) => with_set(further, |_| with_servers(work)),
    }
}

/// Sets more threads than there are processors, unless the environment has a number: most tests wait for a server, which
/// waits for its disk. Temporary files are in memory.
pub(crate) fn with_many_threads(test: &mut Command) -> Result<()> {
    if std::env::var_os(THREADS).is_none() {
        let threads = std::thread::available_parallelism()?.get() * 3;
        test.env(THREADS, threads.to_string());
    }
    test.env("TMPDIR", workspace::scratch());
    Ok(())
}

/// Runs some work with the servers of the tests up.
pub(crate) fn with_servers(
    work: impl FnOnce(BTreeMap<&'static str, String>) -> Result<()>,
) -> Result<()> {
    with_set(Set::Installed, work)
}

/// Runs some work with the servers of the set up.
pub(crate) fn with_set(
    set: Set,
    work: impl FnOnce(BTreeMap<&'static str, String>) -> Result<()>,
) -> Result<()> {
    packages::install_missing()?;
    // Ctrl-C also reaches cargo and the tests, and ends them. This process goes on, to stop the servers.
    match ctrlc::set_handler(|| {}) {
        Ok(()) | Err(ctrlc::Error::MultipleHandlers) => {}
        Err(error) => return Err(error.into()),
    }

    let started = servers::start(set, Data::Fresh)?;
    let worked = servers::environment(set).and_then(work);
    let stopped = servers::stop(set, &started);
    match (worked, stopped) {
        (Err(work), Err(stop)) => bail!("{work:#}; besides, {stop:#}"),
        (worked, stopped) => worked.and(stopped),
    }
}
