//! A small service over two databases: accounts on PostgreSQL, the entries of a ledger on MariaDB.
//!
//! ```sh
//! export ACCOUNTS_DATABASE_URL=postgres://… LEDGER_DATABASE_URL=mysql://…
//! cargo run --example axum_app --features postgres,mysql,deadpool,axum
//! curl localhost:3000/accounts -H 'content-type: application/json' -d '{"owner": "Ada", "balance": 100}'
//! ```
//!
//! `service/` is the service, `tests/` its tests, over HTTP and in sandboxes (`payments.rs`), and `load/` a load test.

mod service;

use std::env;
use std::error::Error;

use diesel_binds::{Binds, Source};
use tokio::net::TcpListener;

use crate::service::schema::{Accounts, Ledger};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let binds = Binds::builder()
        .namespace("axum-app")
        .bind(Accounts, Source::env()) // ACCOUNTS_DATABASE_URL
        .bind(Ledger, Source::env()) // LEDGER_DATABASE_URL
        .build()?;
    binds.install().await?;
    service::schema::create(
        &env::var("ACCOUNTS_DATABASE_URL")?,
        &env::var("LEDGER_DATABASE_URL")?,
    )
    .await?;

    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, service::router(&binds))
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    binds.close().await; // commits and roll-backs that still run
    Ok(())
}
