//! Server processes: whether they run, and their end.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

/// The interval at which a condition is checked.
const INTERVAL: Duration = Duration::from_millis(20);

/// Waits until the condition holds, and returns whether it did in time.
pub(crate) fn wait_until(timeout: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + timeout;
    loop {
        if condition() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        thread::sleep(INTERVAL);
    }
}

/// Returns whether the process is the server of this data directory, and not another one that reuses the number of a
/// dead server.
pub(crate) fn serves(pid: u32, data: &Path) -> bool {
    command_line(pid).is_some_and(|line| line.contains(&*data.to_string_lossy()))
}

/// Asks a process to end with `signal`, and kills it if it does not end in time.
pub(crate) fn stop(pid: u32, signal: Signal, timeout: Duration) -> Result<()> {
    send(pid, signal)?;
    if wait_until(timeout, || !is_running(pid)) {
        return Ok(());
    }
    eprintln!(
        "process {pid} did not stop in {} s: killing it",
        timeout.as_secs()
    );
    kill(pid)
}

/// Kills a server and all its children at once, like a crash of the machine.
pub(crate) fn kill(pid: u32) -> Result<()> {
    // The process is stopped first, so that it starts no further child before its end. PostgreSQL's children would end
    // by themselves, but only after their present statement.
    send(pid, Signal::STOP)?;
    let mut processes = children(pid);
    processes.insert(0, pid);
    for &process in &processes {
        send(process, Signal::KILL)?;
    }
    if !wait_until(Duration::from_secs(10), || {
        !processes.iter().any(|process| is_running(*process))
    }) {
        bail!("process {pid} does not end after SIGKILL");
    }
    Ok(())
}

/// Sends a signal. A process that is gone already is no error.
fn send(pid: u32, signal: Signal) -> Result<()> {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        bail!("{pid} is not a process number");
    };
    match kill_process(process, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(error) => bail!("cannot signal process {pid}: {error}"),
    }
}

/// Returns whether the process runs. A process that ended but was not reaped counts as gone. Such a process has no
/// command line. It stays forever if the first process of a container does not reap it.
fn is_running(pid: u32) -> bool {
    command_line(pid).is_some_and(|line| !line.is_empty())
}

fn command_line(pid: u32) -> Option<String> {
    if Path::new("/proc/self").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        return Some(String::from_utf8_lossy(&bytes).replace('\0', " "));
    }
    let output = Command::new("ps")
        .args(["-o", "args=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Returns the children, if the system lists them (Linux). On other systems, they notice by themselves that their
/// parent is gone.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_command_line() {
        let mut child = Command::new("sleep").arg("100").spawn().unwrap();
        assert!(wait_until(Duration::from_secs(5), || serves(
            child.id(),
            Path::new("100")
        )));
        assert!(!serves(child.id(), Path::new("200")));
        kill(child.id()).unwrap();
        assert!(
            !serves(child.id(), Path::new("100")),
            "a process that nobody has waited for counts as gone"
        );
        child.wait().unwrap();
    }
}
