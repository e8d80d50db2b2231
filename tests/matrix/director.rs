//! Runs the cases, one after the other, and prints the matrix.

use std::process::ExitCode;
use std::time::Instant;

use fastrand::Rng;

use crate::case::Case;
use crate::judge::Verdict;
use crate::list;
use crate::settings::Settings;
use crate::stage::Stage;
use crate::suite::world::Sides;
use crate::table::table;
use crate::topology::{Topology, with_sides};

/// Runs all that was asked for; fails unless every case ended as it should.
pub(crate) async fn direct(settings: &Settings) -> ExitCode {
    println!("matrix: seed={}", settings.seed);
    let start = Instant::now();
    let mut results = Vec::new();
    for topology in &settings.topologies {
        results.extend(with_sides!(*topology, run(*topology, settings)));
    }
    let count = |is: fn(&Verdict) -> bool| results.iter().filter(|(_, v)| is(v)).count();
    let slowest = results.iter().map(|(_, verdict)| verdict.recovery).max();
    println!("\n{}\n", table(&results));
    println!(
        "matrix: {:.0} s, the slowest recovery took {} ms, {} faults did not happen, {} cases showed branches of units \
         before",
        start.elapsed().as_secs_f64(),
        slowest.unwrap_or_default().as_millis(),
        count(|verdict| verdict.missed),
        count(|verdict| verdict.back > 0),
    );
    println!(
        "matrix: cases={} torn={} lies={} unrecovered={} seed={}",
        results.len(),
        count(|verdict| verdict.torn.is_some()),
        count(|verdict| verdict.lie.is_some()),
        count(|verdict| verdict.unrecovered.is_some()),
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
    println!(
        "matrix: {topology}: {} of {of} cases in {:.0} s",
        results.len(),
        start.elapsed().as_secs_f64()
    );
    results
}
