//! The matrix: classes of faults by topologies.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::case::Case;
use crate::class::Class;
use crate::judge::Verdict;
use crate::topology::Topology;

const FIRST: usize = 15;
const GAP: usize = 2;
const NARROWEST: usize = 11;

/// Formats a line for each class and a column for each topology, with the numbers of cases and of failures.
pub(crate) fn table(results: &[(Case, Verdict)]) -> String {
    let topologies: Vec<(Topology, usize)> = Topology::every()
        .filter(|topology| results.iter().any(|(case, _)| case.topology == *topology))
        .map(|topology| (topology, GAP + topology.to_string().len().max(NARROWEST)))
        .collect();
    let mut table = format!("{:FIRST$}", "");
    for (topology, width) in &topologies {
        let _ = write!(table, "{topology:>width$}");
    }
    for class in Class::ALL {
        let _ = write!(table, "\n{:FIRST$}", class.title());
        for (topology, width) in &topologies {
            let cell = cell(results, class, *topology);
            let _ = write!(table, "{cell:>width$}");
        }
    }
    table
}

fn cell(results: &[(Case, Verdict)], class: Class, topology: Topology) -> String {
    let here = results
        .iter()
        .filter(|(case, _)| case.topology == topology && case.class() == class);
    let failed = here.clone().filter(|(_, verdict)| !verdict.is_ok());
    match (here.clone().count(), failed.count()) {
        (0, _) => "-".to_owned(),
        (cases, 0) => format!("{cases} ok"),
        (cases, failed) => format!("{failed} of {cases} bad"),
    }
}

/// Formats a line for each class with the results for callers, and their numbers.
pub(crate) fn answers(results: &[(Case, Verdict)]) -> String {
    let mut lines = String::new();
    for class in Class::ALL {
        let mut answers: BTreeMap<&str, usize> = BTreeMap::new();
        for (_, verdict) in results.iter().filter(|(case, _)| case.class() == class) {
            *answers.entry(verdict.reported).or_default() += 1;
        }
        if !answers.is_empty() {
            let answers: Vec<String> = answers
                .into_iter()
                .map(|(word, count)| format!("{count} {word}"))
                .collect();
            let _ = writeln!(lines, "{:FIRST$}  {}", class.title(), answers.join(", "));
        }
    }
    lines
}
