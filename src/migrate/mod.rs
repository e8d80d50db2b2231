//! Migrations in the program: each bind's own, run by one process at a time.
//!
//! `known` has the program's migrations of a bind, `set` the way to its database, `order` puts the binds in order.
//! `state` compares the program with the database and `plan` decides, both pure. `lock` and `database` act, in the
//! order of `run`. `report` and `problem` are the results for the caller.

// Files, each of which imports only from those before it: `known`, `problem`, `set`, `database`, `any_set`, `lock`,
// `order`, `state`, `plan`, `report`, `run`.

mod any_set;
mod database;
mod known;
mod lock;
mod order;
mod plan;
mod problem;
mod report;
mod run;
mod set;
mod state;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::bind::Bind;
use crate::migrate::plan::{Revert, States};
use crate::migrate::run::{Job, Run};
use crate::migrate::state::OnDrift;

pub(crate) use self::any_set::AnySet;
pub(crate) use self::known::read;
pub use self::known::version_of;
pub use self::known::{MigrationId, MigrationMistake};
pub(crate) use self::order::{Need, Sets};
pub use self::problem::{Migrated, MigrationError, MigrationProblem, MigrationStep};
pub use self::report::{BindMigrations, ListedMigration, MigrationReport, MigrationStatus};
pub(crate) use self::set::{Connect, Set, Source};
pub use self::state::{MigrationState, Owner};

/// The default time for which a run waits for one of another process.
const DEFAULT_WAIT: Duration = Duration::from_secs(300);

/// The longest time limit, because the range of clocks is limited.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// The migrations of all or some binds, to run, revert and inspect them. See
/// [`Binds::migrations`](crate::Binds::migrations).
///
/// A run opens connections of its own, beside the pools. It locks every involved database before it reads the
/// histories, and plans all steps before the first one. Each migration then runs in its own transaction, like in plain
/// Diesel, and is recorded in Diesel's own table. A second table, `diesel_binds_migrations`, records the bind of each
/// migration.
#[derive(Clone)]
#[must_use = "nothing is run before `run()`"]
pub struct Migrations {
    sets: Arc<Sets>,
    background: TaskTracker,
    /// The keys of the selected binds; all binds if empty.
    asked: Vec<String>,
    on_drift: OnDrift,
    wait: Duration,
}

impl Migrations {
    pub(crate) fn new(sets: Arc<Sets>, background: TaskTracker) -> Self {
        Self {
            sets,
            background,
            asked: Vec::new(),
            on_drift: OnDrift::default(),
            wait: DEFAULT_WAIT,
        }
    }

    /// Selects the migrations of one bind only. Further calls add binds. Without a call, all binds are selected.
    pub fn of<B: Bind>(self, _: B) -> Self {
        self.of_key(B::KEY)
    }

    /// Selects the migrations of the bind with this key. See [`of`](Self::of).
    pub fn of_key(mut self, key: impl Into<String>) -> Self {
        self.asked.push(key.into());
        self
    }

    /// Refuses to run if a database has a version that the program does not have, or misses one that is older than an
    /// applied one.
    ///
    /// Without this, the first is refused only if a migration is pending, and the second is run, like in Diesel. So an
    /// older program still starts on a database that a newer one has migrated.
    pub fn refuse_drift(mut self) -> Self {
        self.on_drift = OnDrift::Refuse;
        self
    }

    /// Runs and reverts even if the database has versions that the program does not have.
    ///
    /// They may belong to a newer program, to a branch, or to another application that owns the database.
    pub fn allow_unknown(mut self) -> Self {
        self.on_drift = OnDrift::Allow;
        self
    }

    /// Sets the longest time that a run waits for one of another process. Defaults to 5 minutes.
    pub fn lock_timeout(mut self, timeout: Duration) -> Self {
        self.wait = timeout.min(LONGEST);
        self
    }

    /// Runs the pending migrations, bind after bind, each after those that it needs.
    ///
    /// Several processes may run migrations at once: one does the work, and the others wait and then find nothing to
    /// do.
    ///
    /// # Errors
    ///
    /// Before the first step: a database that cannot be reached or locked, that has migrations of another bind, or that
    /// has drifted; a bind that needs another one at a version that is not applied. Later: a migration that failed, or
    /// a lock that was lost. The [`MigrationError`] lists the steps that were done and those that were not.
    ///
    /// # Cancel safety
    ///
    /// Once the future was polled, dropping it stops nothing. The run continues in the background, and
    /// [`close`](crate::Binds::close) waits for it.
    pub async fn run(&self) -> Result<Migrated, MigrationError> {
        self.start(Job::Run).await
    }

    /// Reverts the last migration of each bind, each bind before those that it needs.
    ///
    /// # Errors
    ///
    /// The errors of [`run`](Self::run); and a migration that another bind still needs, or that is older than one that
    /// the program does not have. A migration without `down.sql` fails.
    ///
    /// # Cancel safety
    ///
    /// See [`run`](Self::run).
    pub async fn revert(&self) -> Result<Migrated, MigrationError> {
        self.start(Job::Revert(Revert::Last)).await
    }

    /// Reverts every migration of each bind, newest first, each bind before those that it needs.
    ///
    /// Migrations that are the same in every folder stay: the setup of Diesel for PostgreSQL, and the tables of the
    /// commit protocol.
    ///
    /// # Errors
    ///
    /// See [`revert`](Self::revert).
    ///
    /// # Cancel safety
    ///
    /// See [`run`](Self::run).
    pub async fn revert_all(&self) -> Result<Migrated, MigrationError> {
        self.start(Job::Revert(Revert::All)).await
    }

    /// Reports the state of the migrations of each bind. Changes nothing, and waits for no lock.
    ///
    /// Never fails: for a bind that cannot be reached, the report contains the error.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped.
    pub async fn report(&self) -> MigrationReport {
        let sets = self.sets.sets.iter();
        let asked = sets.filter(|set| self.is_asked(set.key()));
        let binds = join_all(asked.map(|set| async {
            let state = async {
                let mut database = run::open_database(set.as_ref()).await?;
                run::state(set.as_ref(), &self.sets, &mut *database).await
            };
            BindMigrations {
                bind: set.key().to_owned(),
                backend: Some(set.backend()),
                state: state.await,
            }
        }));
        let mut binds = binds.await;
        binds.extend(self.unknown().map(|bind| BindMigrations {
            bind: bind.clone(),
            backend: None,
            state: Err(MigrationProblem::NoMigrations { bind: bind.clone() }),
        }));
        MigrationReport { binds }
    }

    /// Lists every migration of each bind, and every version that only the database has, in the order of the binds and
    /// of the versions.
    ///
    /// # Errors
    ///
    /// A bind without migrations, or one that cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped.
    pub async fn list(&self) -> Result<Vec<ListedMigration>, MigrationError> {
        let mut list = Vec::new();
        for bind in self.report().await.binds {
            list.extend(BindMigrations::list(&bind.state?, &bind.bind));
        }
        Ok(list)
    }

    /// Makes sure that every database has the migrations of the program, and no others. For a process that does not
    /// migrate, and must not start on a wrong database.
    ///
    /// # Errors
    ///
    /// The first bind with a difference from the program: pending, unknown or older migrations, those of another bind,
    /// or a needed bind that is not at the required version. Or a bind that cannot be reached.
    ///
    /// # Cancel safety
    ///
    /// Nothing is changed; the future may be dropped.
    pub async fn check(&self) -> Result<(), MigrationError> {
        let selected = self.selected()?;
        let mut states = States::new();
        for set in run::involved(&self.sets, &selected) {
            let mut database = run::open_database(set.as_ref()).await?;
            let state = run::state(set.as_ref(), &self.sets, &mut *database).await?;
            states.insert(set.key(), state);
        }
        Ok(plan::check(&self.sets, &selected, &states)?)
    }

    async fn start(&self, job: Job) -> Result<Migrated, MigrationError> {
        let run = Run {
            sets: Arc::clone(&self.sets),
            selected: self.selected()?,
            job,
            on_drift: self.on_drift,
            wait: self.wait,
        };
        let runtime = Handle::try_current().map_err(|_| MigrationProblem::NoRuntime)?;
        let running = self.background.spawn_on(run.carry_out(), &runtime);
        running
            .await
            .unwrap_or_else(|_| Err(MigrationProblem::Stopped.into()))
    }

    /// Returns the keys of the selected binds, in the order of the sets.
    fn selected(&self) -> Result<Vec<&'static str>, MigrationProblem> {
        if let Some(bind) = self.unknown().next() {
            return Err(MigrationProblem::NoMigrations { bind: bind.clone() });
        }
        let keys = self.sets.sets.iter().map(|set| set.key());
        Ok(keys.filter(|key| self.is_asked(key)).collect())
    }

    /// Returns the selected keys that have no migrations.
    fn unknown(&self) -> impl Iterator<Item = &String> {
        let known = |key: &String| self.sets.sets.iter().any(|set| set.key() == key);
        self.asked.iter().filter(move |key| !known(key))
    }

    fn is_asked(&self, key: &str) -> bool {
        self.asked.is_empty() || self.asked.iter().any(|asked| asked == key)
    }
}

impl std::fmt::Debug for Migrations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Migrations")
            .field("asked", &self.asked)
            .finish_non_exhaustive()
    }
}
