//! All units that the databases of a stage have seen, and where each is kept: what later cases must not change.

use std::collections::{HashMap, HashSet};

use diesel_binds::UnitId;

/// How the units before this case ended.
#[derive(Default)]
pub(crate) struct History(HashMap<String, Past>);

/// A unit that has come to its end.
struct Past {
    /// What it wrote.
    text: String,
    /// On which of the databases that is kept.
    kept: Vec<bool>,
}

impl History {
    /// Takes note of a unit that nobody works on any more. `rows` are those of all databases.
    pub(crate) fn note(&mut self, unit: UnitId, text: &str, rows: &[Vec<String>]) {
        let is_kept = |rows: &Vec<String>| rows.iter().any(|row| row == text);
        let past = Past {
            text: text.to_owned(),
            kept: rows.iter().map(is_kept).collect(),
        };
        self.0.insert(unit.to_string(), past);
    }

    /// Whether an earlier unit was rolled back, everywhere. `None` if there was no such unit.
    pub(crate) fn is_rolled_back(&self, unit: &str) -> Option<bool> {
        let past = self.0.get(unit)?;
        Some(!past.kept.contains(&true))
    }

    /// The earlier units that are not where they were. Told once.
    pub(crate) fn changed(&mut self, rows: &[Vec<String>]) -> Vec<String> {
        let rows: Vec<HashSet<&str>> = rows
            .iter()
            .map(|rows| rows.iter().map(String::as_str).collect())
            .collect();
        let changed = self.0.iter_mut().filter_map(|(unit, Past { text, kept })| {
            let now: Vec<bool> = rows.iter().map(|rows| rows.contains(&**text)).collect();
            let was = std::mem::replace(kept, now);
            (was != *kept).then(|| format!("{unit} ({text}) was kept {was:?} and now {kept:?}"))
        });
        changed.collect()
    }
}
