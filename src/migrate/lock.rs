//! The locks of a run: one for each database, held from before the first query to after the last migration.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::backend::Backend;
use crate::backend::migrate::{LockAttempt, LockId, NoLockFile};
use crate::migrate::any_set::AnySet;
use crate::migrate::database::{Database, Lock, Locker, NoLocker};
use crate::migrate::problem::MigrationProblem;

/// The pauses between attempts to take a lock.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The interval of messages on the connections that hold locks while a migration runs, so that no proxy closes them as
/// idle. Also the interval of the search for branches that the migration waits for.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// The time limit for an answer on a connection for a lock. After it, a lock counts as lost.
const ANSWER: Duration = Duration::from_secs(10);

/// The locks that a run holds.
pub(super) struct Locks {
    run: u64,
    /// The time until which the run waits for locks.
    end: Instant,
    wait: Duration,
    held: Vec<Held>,
}

struct Held {
    bind: &'static str,
    backend: Backend,
    place: usize,
    id: LockId,
    file: Option<String>,
    lock: Box<dyn Lock>,
    lost: bool,
}

/// Two binds in one database that do not declare it.
pub(super) struct SameDatabase {
    pub(super) with: &'static str,
}

impl Locks {
    pub(super) fn new(wait: Duration) -> Self {
        let now = Instant::now();
        Self {
            run: uuid::Uuid::new_v4().as_u64_pair().0,
            end: now + wait,
            wait,
            held: Vec::new(),
        }
    }

    /// Locks the database of `set`, unless that of a bind that shares it is locked already.
    ///
    /// Returns the other bind if the run has locked this database already for a bind that does not declare to share it.
    pub(super) async fn take(
        &mut self,
        set: &dyn AnySet,
        database: &mut dyn Database,
    ) -> Result<Option<SameDatabase>, MigrationProblem> {
        let bind = set.key();
        if self.held.iter().any(|held| held.place == set.place()) {
            return Ok(None);
        }
        let Locker { mut lock, file } = database.locker().await.map_err(|error| match error {
            NoLocker::NoFile(NoLockFile::InMemory) => MigrationProblem::InMemory { bind },
            NoLocker::NoFile(error) => MigrationProblem::Lock {
                bind,
                source: error.into(),
            },
            NoLocker::Connect(source) => MigrationProblem::Unreachable { bind, source },
        })?;
        if let Some(same) = self
            .held
            .iter()
            .find(|held| file.is_some() && held.file == file)
        {
            return Ok(Some(SameDatabase { with: same.bind }));
        }
        let (binds, ids): (Vec<&'static str>, Vec<LockId>) = self
            .held
            .iter()
            .filter(|held| held.backend == set.backend())
            .map(|held| (held.bind, held.id))
            .unzip();
        let own = LockId(self.run.wrapping_add(self.held.len() as u64));
        let mut pause = FIRST_PAUSE;
        loop {
            let refused = |source| MigrationProblem::Lock { bind, source };
            let attempt = timeout(ANSWER, lock.attempt(own, &ids)).await;
            let attempt = attempt.map_err(|late| refused(late.into()))?;
            match attempt.map_err(|error| refused(error.into()))? {
                LockAttempt::Locked => break,
                LockAttempt::AlreadyHeld(position) => {
                    return Ok(Some(SameDatabase {
                        with: binds[position],
                    }));
                }
                LockAttempt::Busy if Instant::now() + pause > self.end => {
                    return Err(MigrationProblem::Locked {
                        bind,
                        waited: self.wait,
                    });
                }
                LockAttempt::Busy => sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        self.held.push(Held {
            bind,
            backend: set.backend(),
            place: set.place(),
            id: own,
            file,
            lock,
            lost: false,
        });
        Ok(None)
    }

    /// Makes sure that all locks are still held.
    pub(super) async fn verify(&mut self) -> Result<(), MigrationProblem> {
        self.look().await;
        match self.held.iter().find(|held| held.lost) {
            Some(held) => Err(MigrationProblem::LockLost { bind: held.bind }),
            None => Ok(()),
        }
    }

    /// Runs `work` on a bind, and keeps the connections that hold the locks alive meanwhile. Returns beside the result
    /// the branches that were last found to block it.
    pub(super) async fn keep<T>(
        &mut self,
        (bind, place): (&'static str, usize),
        work: impl Future<Output = T>,
    ) -> (T, Vec<String>) {
        let mut work = std::pin::pin!(work);
        let mut blocking = Vec::new();
        loop {
            tokio::select! {
                biased;
                done = &mut work => return (done, blocking),
                () = sleep(KEEP_ALIVE) => {}
            }
            let mut questions = std::pin::pin!(async {
                self.look().await;
                self.warn_of_blocking_branches(bind, place).await
            });
            tokio::select! {
                biased;
                // A connection is unusable after a question that was dropped before its answer.
                done = &mut work => {
                    questions.await;
                    return (done, blocking);
                }
                found = &mut questions => blocking = found,
            }
        }
    }

    /// Releases the locks. A lock that cannot be released ends with its connection.
    pub(super) async fn release(self) {
        for mut held in self.held.into_iter().filter(|held| !held.lost) {
            let released = timeout(ANSWER, held.lock.release()).await;
            if !matches!(released, Ok(Ok(()))) {
                tracing::debug!(
                    ?released,
                    bind = held.bind,
                    "a lock of migrations ends with its connection"
                );
            }
        }
    }

    /// Warns of prepared branches that may block the migration, and returns them: a statement waits until they are
    /// finished.
    async fn warn_of_blocking_branches(&mut self, bind: &'static str, place: usize) -> Vec<String> {
        let held = self.held.iter_mut();
        let mut blocking = Vec::new();
        for held in held.filter(|held| !held.lost && held.place == place) {
            match timeout(ANSWER, held.lock.blocking_branches()).await {
                Err(_) => held.lost = true,
                Ok(Ok(branches)) => blocking.extend(branches),
                Ok(Err(error)) => {
                    tracing::debug!(%error, bind, "the branches that may block a migration could not be listed");
                }
            }
        }
        if !blocking.is_empty() {
            tracing::warn!(
                bind,
                branches = blocking.join(", "),
                "a migration may wait for the locks of prepared branches: finish those by recovery, or look with \
                 `diesel-binds in-doubt list`",
            );
        }
        blocking
    }

    async fn look(&mut self) {
        for held in &mut self.held {
            // A connection that failed once is not asked again, because a lost lock cannot come back.
            held.lost =
                held.lost || !matches!(timeout(ANSWER, held.lock.is_held()).await, Ok(Ok(true)));
        }
    }
}
