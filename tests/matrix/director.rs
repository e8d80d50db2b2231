//! Runs the cases, one after the other, and prints the matrix.

use std::process::ExitCode;
use std::time::Instant;

use fastrand::Rng;
use kit::servers::Server;
use kit::world::Sides;

use crate::away;
use crate::case::Case;
use crate::judge::Verdict;
use crate::list;
use crate::settings::Settings;
use crate::stage::Stage;
use crate::table::{answers, table};
use crate::topology::{Topology, with_sides};

/// Runs all requested cases. Fails unless every case ended as it should.
pub(crate) async fn direct(settings: &Settings) -> ExitCode {
    println!("matrix: seed={}", settings.seed);
    let start = Instant::now();
    // A killed run may have left its servers waiting for a standby.
    for server in [Server::PostgresA, Server::PostgresB] {
        away::returns(server.url().as_str()).await;
    }
    let mut results = Vec::new();
    for topology in &settings.topologies {
        results.extend(with_sides!(*topology, run(*topology, settings)));
    }
    let count = |is: fn(&Verdict) -> bool| results.iter().filter(|(_, v)| is(v)).count();
    let slowest = results.iter().map(|(_, verdict)| verdict.recovery).max();
    println!("\n{}\n\n{}", table(&results), answers(&results));
    println!(
        "matrix: {:.0} s, the slowest recovery took {} ms, {} cases showed branches of units before",
        start.elapsed().as_secs_f64(),
        slowest.unwrap_or_default().as_millis(),
        count(|verdict| verdict.back > 0),
    );
    println!(
        "matrix: cases={} torn={} lies={} unrecovered={} missed={} seed={}",
        results.len(),
        count(|verdict| verdict.torn.is_some()),
        count(|verdict| verdict.lie.is_some()),
        count(|verdict| verdict.unrecovered.is_some()),
        // A case whose fault did not fire proves nothing, and fails as well.
        count(|verdict| verdict.missed),
        settings.seed
    );
    if results.iter().all(|(_, verdict)| verdict.is_ok()) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs the chosen cases of one topology.
async fn run<S: Sides>(topology: Topology, settings: &Settings) -> Vec<(Case, Verdict)> {
    let start = Instant::now();
    let mut stage = Stage::<S>::set(topology).await;
    let mut cases = stage.cases().await;
    if let Some(only) = &settings.only {
        cases.retain(|case| case.to_string().contains(only));
    }
    let of = cases.len();
    if let Some(size) = settings.slice {
        let mut random = Rng::with_seed(settings.seed);
        let size = size.div_ceil(settings.topologies.len());
        cases = list::slice(cases, size, &mut random);
    }
    let mut results = Vec::new();
    for case in cases {
        let verdict = stage.run(&case, settings.seed).await;
        for problem in verdict.problems() {
            println!("matrix: {case}: {problem}");
        }
        results.push((case, verdict));
    }
    stage.strike().await;
    println!(
        "matrix: {topology}: {} of {of} cases in {:.0} s",
        results.len(),
        start.elapsed().as_secs_f64()
    );
    results
}
