//! `cargo xtask web-load`: the long form of the test binary `axum_app_load`, which under `cargo xtask test` sends fewer.

use anyhow::Result;
use clap::Args;

use crate::test;

/// How much load.
#[derive(Args)]
pub(crate) struct WebLoad {
    /// How many requests are sent
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
}

impl WebLoad {
    /// Fails unless both databases agree row for row, nothing stays open, the pools are whole and the memory is flat.
    pub(crate) fn run(&self) -> Result<()> {
        let requests = ("DIESEL_BINDS_WEB_REQUESTS", self.requests.to_string());
        test::run_one("axum_app_load", &[requests])
    }
}
