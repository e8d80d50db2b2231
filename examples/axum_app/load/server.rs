//! The service in a process of its own, with one route more that panics.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use axum::routing::{get, post};
use axum::{Json, Router};
use diesel_binds::{Binds, Error, SessionOptions};
use futures_util::future::join_all;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::service;
use crate::service::payments::{self, Payment};
use crate::service::schema::{Accounts, Ledger};

/// How many connections a pool has, if nobody says otherwise.
const POOL: usize = 10;

/// Runs the service until its process is killed.
pub(crate) async fn serve(accounts: &str, ledger: &str) {
    std::panic::set_hook(Box::new(|_| {})); // they are many, and meant
    let binds = crate::binds(accounts, ledger);
    let broken = Router::new().route("/broken-payments", post(broken));
    let whole = binds.clone();
    let router = service::router(&binds)
        .merge(service::in_units(broken, &binds))
        .route(
            "/whole",
            get(async move || is_whole(&whole).await.map_err(|error| format!("{error:?}"))),
        );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("{}", listener.local_addr().unwrap());
    axum::serve(listener, router).await.unwrap();
}

/// Pays, and has a bug behind that.
async fn broken(payment: Json<Payment>) {
    let _ = payments::pay(payment).await;
    panic!("as a handler does");
}

/// All connections of all pools can be had at once.
async fn is_whole(binds: &Binds) -> Result<(), Error> {
    let options = SessionOptions::new()
        .deadline(Duration::from_secs(20))
        .read_only();
    let sessions: Vec<_> = (0..POOL)
        .map(|_| binds.with(options.clone()).session())
        .collect();
    let taken = join_all(sessions.iter().map(|session| async move {
        drop(session.connection(Accounts).await?);
        drop(session.connection(Ledger).await?);
        Ok(())
    }));
    taken.await.into_iter().collect()
}

/// The process.
pub(crate) struct Server {
    pub(crate) address: String,
    child: Child,
}

impl Server {
    pub(crate) async fn start(accounts: &str, ledger: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["serve", accounts, ledger])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = said.next_line().await.unwrap();
        Self {
            address: address.expect("the service starts"),
            child,
        }
    }

    /// Returns the memory of the process, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = format!("/proc/{}/status", self.child.id().unwrap());
        let status = fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<u64>().unwrap() << 10
    }

    /// Asks the service whether its pools are whole.
    pub(crate) async fn is_whole(&self) {
        let answer = reqwest::get(format!("http://{}/whole", self.address)).await;
        let answer = answer.unwrap();
        assert!(answer.status().is_success());
        let said = answer.text().await.unwrap();
        assert_eq!(said, "", "a pool is not whole");
    }

    pub(crate) async fn stop(&mut self) {
        self.child.kill().await.unwrap();
    }
}
