//! The matrix: topologies by classes of faults.

use std::fmt::Write as _;

use crate::case::{Case, Class};
use crate::judge::Verdict;
use crate::topology::Topology;

const FIRST: usize = 21;
const WIDTH: usize = 15;

/// A line for each topology, a column for each class: the cases, and how many of them failed.
pub(crate) fn table(results: &[(Case, Verdict)]) -> String {
    let mut table = format!("{:FIRST$}", "");
    for class in Class::ALL {
        let _ = write!(table, "{:>WIDTH$}", class.title());
    }
    for topology in Topology::ALL {
        let of_topology: Vec<_> = results
            .iter()
            .filter(|(case, _)| case.topology == topology)
            .collect();
        if of_topology.is_empty() {
            continue;
        }
        let _ = write!(table, "\n{topology:FIRST$}");
        for class in Class::ALL {
            let of_class = || of_topology.iter().filter(|(case, _)| case.class() == class);
            let (cases, failed) = (
                of_class().count(),
                of_class().filter(|(_, verdict)| !verdict.is_ok()).count(),
            );
            let cell = match (cases, failed) {
                (0, _) => "-".to_owned(),
                (cases, 0) => format!("{cases} ok"),
                (cases, failed) => format!("{failed} of {cases} bad"),
            };
            let _ = write!(table, "{cell:>WIDTH$}");
        }
    }
    table
}
