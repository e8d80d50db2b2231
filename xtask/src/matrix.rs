//! `cargo xtask matrix`: the long form of the test binary `matrix`, of which `cargo xtask test` runs a random slice.

use anyhow::Result;
use clap::Args;

use crate::servers::Set;
use crate::test;

/// The selection of cases.
#[derive(Args)]
pub(crate) struct Matrix {
    /// The seed of the random numbers: of the choice of cases, and of pauses in them
    #[arg(long)]
    seed: Option<u64>,
    /// The number of random cases; as under `cargo xtask test` if neither this nor `--all` is given
    #[arg(long, conflicts_with = "all")]
    slice: Option<u64>,
    /// Every case
    #[arg(long)]
    all: bool,
    /// Only this combination of databases, as the table names it: PG+MariaDB. May be given several times
    #[arg(long)]
    topology: Vec<String>,
    /// The combinations with MySQL in place of the others
    #[arg(long)]
    mysql: bool,
    /// Only cases with this text in their name, as it is printed for failed cases: "decide:my-a:after"
    #[arg(long)]
    only: Option<String>,
}

impl Matrix {
    /// Fails unless every case commits all or nothing, reports a true result, and is recovered in time.
    pub(crate) fn run(&self) -> Result<()> {
        let slice = if self.all { Some(0) } else { self.slice };
        let topologies = (!self.topology.is_empty()).then(|| self.topology.join("\n"));
        let variables: Vec<_> = [
            ("SEED", self.seed.map(|seed| seed.to_string())),
            ("SLICE", slice.map(|slice| slice.to_string())),
            ("TOPOLOGIES", topologies),
            ("ONLY", self.only.clone()),
            ("MYSQL", self.mysql.then(|| "1".to_owned())),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((format!("DIESEL_BINDS_MATRIX_{name}"), value?)))
        .collect();
        test::run_one("matrix", self.mysql.then_some(Set::Mysql), &variables)
    }
}
