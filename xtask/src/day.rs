//! `cargo xtask day`: a service under load while its servers misbehave, in the test binary `day`.

use anyhow::Result;
use clap::Args;

use crate::test;

/// The length of a run.
#[derive(Args)]
pub(crate) struct Day {
    /// Begin no further event after this many minutes
    #[arg(long, default_value_t = 20)]
    minutes: u64,
    /// The seed of the events and requests; their times still depend on the machine
    #[arg(long)]
    seed: Option<u64>,
}

impl Day {
    /// Fails if a unit is torn, an answer is false, an error is of no known kind, or the service does not come back.
    pub(crate) fn run(&self) -> Result<()> {
        let seconds = (self.minutes * 60).to_string();
        let mut variables = vec![("DIESEL_BINDS_DAY_SECONDS", seconds)];
        let seed = self.seed.map(|seed| seed.to_string());
        variables.extend(seed.map(|seed| ("DIESEL_BINDS_DAY_SEED", seed)));
        test::run_one("day", None, &variables)
    }
}
