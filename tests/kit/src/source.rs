//! Migrations made in the test, for every backend.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use diesel::backend::Backend;
use diesel::connection::BoxableConnection;
use diesel::migration::{
    Migration, MigrationMetadata, MigrationName, MigrationSource, MigrationVersion, Result,
};

/// A gate that holds a migration up until it is opened or dropped. A failed test must not leave the migration waiting.
#[derive(Debug, Default)]
pub struct Gate(Arc<Door>);

#[derive(Debug, Default)]
struct Door {
    passage: Mutex<Passage>,
    changed: Condvar,
}

/// The progress of the migration through the gate.
#[derive(Debug, Default)]
struct Passage {
    entered: bool,
    open: bool,
}

impl Gate {
    /// Lets the migration continue.
    pub fn open(&self) {
        self.0.passage.lock().unwrap().open = true;
        self.0.changed.notify_all();
    }

    /// Waits until the migration has reached the gate.
    pub async fn reached(&self) {
        while !self.0.passage.lock().unwrap().entered {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.open();
    }
}

impl Door {
    fn pass(&self) {
        let mut passage = self.passage.lock().unwrap();
        passage.entered = true;
        while !passage.open {
            passage = self.changed.wait(passage).unwrap();
        }
    }
}

/// One migration: the name of its folder, `up.sql`, `down.sql`.
#[derive(Clone, Debug)]
pub struct Step {
    name: String,
    up: String,
    down: String,
    in_transaction: bool,
    gate: Option<Arc<Door>>,
}

/// The migrations of a bind.
#[derive(Clone, Debug, Default)]
pub struct Steps(Vec<Step>);

impl Steps {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn step(self, name: &str, up: impl Into<String>, down: impl Into<String>) -> Self {
        self.add(name, up.into(), down.into(), true)
    }

    /// Adds a migration with `run_in_transaction = false`.
    pub fn bare(self, name: &str, up: impl Into<String>, down: impl Into<String>) -> Self {
        self.add(name, up.into(), down.into(), false)
    }

    /// Adds a migration that creates a table of that name, and so fails if it is run twice.
    pub fn table(self, name: &str, table: &str) -> Self {
        let up = format!("CREATE TABLE {table} (id INTEGER PRIMARY KEY)");
        self.step(name, up, format!("DROP TABLE {table}"))
    }

    fn add(mut self, name: &str, up: String, down: String, in_transaction: bool) -> Self {
        self.0.push(Step {
            name: name.to_owned(),
            up,
            down,
            in_transaction,
            gate: None,
        });
        self
    }

    /// Holds up the last migration at the gate.
    pub fn behind(mut self, gate: &Gate) -> Self {
        let last = self.0.last_mut().expect("there is a migration");
        last.gate = Some(Arc::clone(&gate.0));
        self
    }
}

impl<DB: Backend> MigrationSource<DB> for Steps {
    fn migrations(&self) -> Result<Vec<Box<dyn Migration<DB>>>> {
        let steps = self.0.iter().cloned();
        Ok(steps
            .map(|step| Box::new(step) as Box<dyn Migration<DB>>)
            .collect())
    }
}

impl<DB: Backend> Migration<DB> for Step {
    fn run(&self, connection: &mut dyn BoxableConnection<DB>) -> Result<()> {
        if let Some(gate) = &self.gate {
            gate.pass();
        }
        Ok(connection.batch_execute(&self.up)?)
    }

    fn revert(&self, connection: &mut dyn BoxableConnection<DB>) -> Result<()> {
        Ok(connection.batch_execute(&self.down)?)
    }

    fn metadata(&self) -> &dyn MigrationMetadata {
        self
    }

    fn name(&self) -> &dyn MigrationName {
        self
    }
}

impl MigrationMetadata for Step {
    fn run_in_transaction(&self) -> bool {
        self.in_transaction
    }
}

impl MigrationName for Step {
    fn version(&self) -> MigrationVersion<'_> {
        let version = self.name.split('_').next().unwrap().replace('-', "");
        MigrationVersion::from(version)
    }
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}
