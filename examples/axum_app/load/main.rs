//! The service under load from wrk, while clients hang up: of all requests a third fails, a tenth panics, a tenth hangs up.
//!
//! Afterwards both databases must agree row for row, nothing may be open, the pools must be whole, and the memory of the
//! service must be what it was. The service runs in a process of its own: this program, started again.
//! `DIESEL_BINDS_WEB_REQUESTS=10000` makes it longer.

#[path = "../service/mod.rs"]
#[allow(dead_code, unreachable_pub, reason = "a program uses more of it")]
mod service;

mod audit;
mod clients;
mod server;

use std::env;

use diesel_binds::{Binds, Source};
use kit::database::Database;
use kit::servers;

use crate::server::Server;
use crate::service::schema::{Accounts, Ledger};

/// How many accounts there are.
const ACCOUNTS: i32 = 100;

/// The balance of each account at the begin.
const BALANCE: i64 = 1_000;

/// How much the memory of the service may grow between a tenth of the load and all of it.
const GROWTH: u64 = 24 << 20;

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().collect();
    if let [_, serve, accounts, ledger] = &arguments[..]
        && serve == "serve"
    {
        return server::serve(accounts, ledger).await;
    }
    // What `cargo test` asks of every test program.
    if arguments.iter().any(|argument| argument == "--list") {
        return println!("load: test");
    }
    let requests =
        env::var("DIESEL_BINDS_WEB_REQUESTS").map_or(1_000, |text| text.parse().unwrap());
    load(requests).await;
}

async fn load(requests: usize) {
    let databases = [
        Database::on(servers::Server::PostgresA).await,
        Database::on(servers::Server::MariadbA).await,
    ];
    let [accounts, ledger] = [databases[0].url(), databases[1].url()];
    let binds = binds(accounts, ledger);
    binds.install().await.unwrap();
    service::schema::create(accounts, ledger).await.unwrap();
    audit::prepare(&binds).await;

    let mut server = Server::start(accounts, ledger).await;
    let warm = clients::run(&server.address, requests / 10, 0).await;
    let before = server.memory();
    let counted = clients::run(&server.address, requests - requests / 10, 1).await;
    server.is_whole().await;
    let after = server.memory();

    let paid = audit::agree(&binds).await;
    audit::nothing_is_open(&databases).await;
    println!("load: {requests} requests: {warm}; then {counted}");
    println!(
        "load: {paid} payments on both databases, 0 open transactions, pools whole, \
         memory {} KiB before and {} KiB after",
        before >> 10,
        after >> 10
    );
    assert!(
        after < before + GROWTH,
        "the memory grew from {before} to {after} bytes"
    );
    server.stop().await;
    binds.close().await;
}

fn binds(accounts: &str, ledger: &str) -> Binds {
    Binds::builder()
        .namespace("axum-app-load")
        .bind(Accounts, Source::url(accounts))
        .bind(Ledger, Source::url(ledger))
        .build()
        .unwrap()
}
