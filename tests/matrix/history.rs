//! All earlier units of a stage, and the databases that keep each: later cases must not change that.

use std::collections::{HashMap, HashSet};

use diesel_binds::UnitId;

/// The outcomes of the units before this case.
#[derive(Default)]
pub(crate) struct History(HashMap<String, Past>);

/// A unit that has ended.
struct Past {
    /// The text that it wrote.
    text: String,
    /// For each database, true if it keeps the text.
    kept: Vec<bool>,
}

impl History {
    /// Records a unit that has ended. `rows` are those of all databases.
    pub(crate) fn note(&mut self, unit: UnitId, text: &str, rows: &[Vec<String>]) {
        let is_kept = |rows: &Vec<String>| rows.iter().any(|row| row == text);
        let past = Past {
            text: text.to_owned(),
            kept: rows.iter().map(is_kept).collect(),
        };
        self.0.insert(unit.to_string(), past);
    }

    /// Returns whether an earlier unit was rolled back everywhere, or `None` if there was no such unit.
    pub(crate) fn is_rolled_back(&self, unit: &str) -> Option<bool> {
        let past = self.0.get(unit)?;
        Some(!past.kept.contains(&true))
    }

    /// Returns the earlier units that have changed since. Each is reported once.
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
