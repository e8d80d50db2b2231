//! The end of a server that a test has started: by a signal, or as a crash.

use std::fs;
use std::io;
use std::process::{Child, Command};

/// Sends a signal, and waits until the process is gone.
pub(crate) fn now(signal: &str, mut process: Child) -> io::Result<()> {
    send(signal, process.id())?;
    process.wait().map(drop)
}

/// Sends a signal, and waits until the process is gone, without blocking the runtime.
pub(crate) async fn after(signal: &'static str, process: Child) {
    let ended = tokio::task::spawn_blocking(move || now(signal, process)).await;
    ended
        .expect("waiting does not panic")
        .expect("a server can be stopped");
}

/// Kills a process with its children: a server of PostgreSQL has several.
pub(crate) async fn killed(process: Child) {
    let pid = process.id();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    after("-KILL", process).await;
    for child in children.unwrap_or_default().split_whitespace() {
        // It may have ended since then.
        let _ = send("-KILL", child.parse().expect("the number of a process"));
    }
}

fn send(signal: &str, pid: u32) -> io::Result<()> {
    Command::new("kill")
        .args([signal, &pid.to_string()])
        .stderr(std::process::Stdio::null())
        .status()
        .map(drop)
}
