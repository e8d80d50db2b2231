//! Crashes a server, and brings it back.
//!
//! A crash hits every test that uses the server. Therefore tests that crash servers are in programs of their own
//! (`cargo test` runs one program after another), and hold [`alone`] there.

use std::process::{Command, Stdio};

use tokio::sync::{Mutex, MutexGuard};

use crate::servers::{self, Server};

/// Locks out the other tests of this program that call this function, while the guard lives.
pub async fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::const_new(());
    ALONE.lock().await
}

/// Kills the server with all its processes (SIGKILL), and returns when they are gone.
pub async fn kill(server: Server) {
    run("kill", server).await;
}

/// Starts the server again, with its data and at its address, and returns when it answers.
pub async fn restart(server: Server) {
    run("restart", server).await;
}

async fn run(action: &'static str, server: Server) {
    let running = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(servers::xtask());
        command
            .current_dir(servers::workspace())
            .args(["servers", action, server.name()])
            .stdin(Stdio::null())
            .output()
    });
    let output = running
        .await
        .expect("the command does not panic")
        .expect("xtask can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cannot {action} {}: {}",
        server.name(),
        stderr.trim()
    );
}
