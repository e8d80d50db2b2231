//! `cargo xtask web-load`: the long form of the test binary `axum_app_load`, which sends fewer requests under `cargo
//! xtask test`.

use anyhow::Result;
use clap::Args;

use crate::test;

/// The amount of load.
#[derive(Args)]
pub(crate) struct WebLoad {
    /// The number of requests
    #[arg(long, default_value_t = 10_000)]
    requests: u64,
}

impl WebLoad {
    /// Fails unless both databases agree row for row, nothing stays open, the pools are complete and the memory stays
    /// constant.
    pub(crate) fn run(&self) -> Result<()> {
        let requests = ("DIESEL_BINDS_WEB_REQUESTS", self.requests.to_string());
        test::run_one("axum_app_load", None, &[requests])
    }
}
