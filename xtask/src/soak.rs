//! `cargo xtask soak`: the long form of the test binary `soak`, which under `cargo xtask test` runs for seconds.

use anyhow::Result;
use clap::Args;

use crate::servers::Set;
use crate::test;

/// The length and the kind of a run.
#[derive(Args)]
pub(crate) struct Soak {
    /// End when this many units have begun
    #[arg(long, default_value_t = 20_000)]
    units: u64,
    /// End after this many seconds, if that comes first
    #[arg(long)]
    seconds: Option<u64>,
    /// The seed of the random numbers; the times of the kills still depend on the machine
    #[arg(long)]
    seed: Option<u64>,
    /// Only units over the file of a host and the servers that both hosts share
    #[arg(long)]
    hosts_only: bool,
    /// Two servers of MySQL in place of those of MariaDB
    #[arg(long)]
    mysql: bool,
    /// A database of a Galera cluster in each unit, and kills of its two nodes only
    #[arg(long, conflicts_with = "mysql")]
    galera: bool,
}

impl Soak {
    /// Fails if a unit is torn, a result is false, a unit stays in doubt, or the sum is wrong.
    pub(crate) fn run(&self) -> Result<()> {
        let mut variables = vec![("DIESEL_BINDS_SOAK_UNITS", self.units.to_string())];
        let optional = [
            ("DIESEL_BINDS_SOAK_SECONDS", self.seconds),
            ("DIESEL_BINDS_SOAK_SEED", self.seed),
            ("DIESEL_BINDS_SOAK_HOSTS_ONLY", self.hosts_only.then_some(1)),
            ("DIESEL_BINDS_SOAK_MYSQL", self.mysql.then_some(1)),
            ("DIESEL_BINDS_SOAK_GALERA", self.galera.then_some(1)),
        ];
        variables.extend(
            optional
                .into_iter()
                .filter_map(|(variable, value)| Some((variable, value?.to_string()))),
        );
        let mysql = self.mysql.then_some(Set::Mysql);
        let further = mysql.or(self.galera.then_some(Set::Galera));
        test::run_one("soak", further, &variables)
    }
}
