//! Cancellation: after any drop at any point, nothing stays open, no reply is false, and no unit is torn.

pub(crate) mod crash;
pub(crate) mod endings;
pub(crate) mod leaving;
pub(crate) mod raw;
pub(crate) mod soak;
pub(crate) mod statements;

use std::collections::BTreeSet;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use diesel_binds::{Binds, Session, SessionOptions};
use futures_util::future::join_all;
use kit::look::Look;
use kit::side::PoolKind;
use kit::world::{Sides, World, urls};
use tokio::time::{Instant, sleep};

/// The number of connections in the pools of [`World`].
const POOL: i64 = 4;

/// The longest time for the clean-up in the background, on a loaded machine.
const LONG: Duration = Duration::from_secs(40);

/// Databases in which tests cancel, with a [`Look`] for each.
pub(crate) struct Bench<S> {
    pub(crate) world: World,
    pub(crate) namespace: String,
    pool: PoolKind,
    looks: Vec<Look>,
    texts: usize,
    sides: PhantomData<S>,
}

impl<S: Sides> Bench<S> {
    pub(crate) async fn new(pool: PoolKind) -> Self {
        static COUNTER: AtomicUsize = AtomicUsize::new(0);
        let namespace = format!(
            "c{}-{}",
            std::process::id(),
            COUNTER.fetch_add(1, Ordering::Relaxed)
        );
        let databases = S::databases().await;
        let mut looks = Vec::new();
        for database in &databases {
            looks.push(Look::at(database).await);
        }
        let binds = binds::<S>(&namespace, &urls(&databases), pool).await;
        Self {
            world: World { binds, databases },
            namespace,
            pool,
            looks,
            texts: 0,
            sides: PhantomData,
        }
    }

    /// Returns the URLs of the databases.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.world.urls()
    }

    /// Makes new pools without knowledge of the servers, as at the first query of a process.
    pub(crate) async fn forget(&mut self) {
        self.world.binds = binds::<S>(&self.namespace, &self.urls(), self.pool).await;
    }

    pub(crate) fn session(&self) -> Session {
        self.world.binds.session()
    }

    /// Returns a text that no row has.
    pub(crate) fn text(&mut self) -> String {
        self.texts += 1;
        format!("text {}", self.texts)
    }

    /// Returns for each database whether it has a row.
    pub(crate) async fn places(&self, text: &str) -> Vec<bool> {
        let all = S::rows(&self.world).await;
        all.iter()
            .map(|rows| rows.iter().any(|row| row == text))
            .collect()
    }

    /// Asserts that a row is everywhere or nowhere, and returns which.
    pub(crate) async fn is_everywhere(&self, text: &str) -> bool {
        let places: BTreeSet<bool> = self.places(text).await.into_iter().collect();
        assert_eq!(places.len(), 1, "the unit is torn: {text}");
        places.contains(&true)
    }

    /// Runs recovery, which must finish all units.
    pub(crate) async fn run_recovery(&self, case: &str) {
        let recovery = self.world.binds.recovery();
        let pass = recovery.run_older_than(Duration::ZERO).await;
        assert!(pass.is_complete(), "{case}: {pass}");
    }

    /// Waits until no transaction is open or prepared. A commit whose caller has gone away applies its decision in the
    /// background: until then no transaction is open, but a branch is prepared. Nothing else finishes that branch.
    pub(crate) async fn settle(&mut self) {
        let end = Instant::now() + LONG;
        loop {
            self.wait_for_open().await;
            let mut prepared = Vec::new();
            for look in &mut self.looks {
                prepared.extend(look.prepared(&self.namespace).await);
            }
            if prepared.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "branches stay prepared: {prepared:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until no transaction is open. Servers send no notification, so this function polls them.
    pub(crate) async fn wait_for_open(&mut self) {
        let end = Instant::now() + LONG;
        loop {
            let mut open = Vec::new();
            for look in &mut self.looks {
                open.extend(look.open().await);
            }
            if open.is_empty() {
                return;
            }
            assert!(Instant::now() < end, "transactions stay open: {open:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until no other client is connected: the messages of a dead process have arrived by then, or never will.
    pub(crate) async fn wait_for_nobody(&mut self) {
        let end = Instant::now() + LONG;
        for look in &mut self.looks {
            loop {
                let connections = match look {
                    // A file has no list of connections, only their locks.
                    Look::Sqlite(_) => look.open().await,
                    _ => look.connections().await,
                };
                if connections.is_empty() {
                    break;
                }
                assert!(Instant::now() < end, "connections stay: {connections:?}");
                sleep(Duration::from_millis(10)).await;
            }
        }
    }

    /// Finishes prepared branches with the outcome that their holders have, like recovery.
    pub(crate) async fn recover(&mut self) {
        let keys = S::keys();
        for index in 0..self.looks.len() {
            for branch in self.looks[index].prepared(&self.namespace).await {
                let holder = keys.iter().position(|key| *key == branch.holder).unwrap();
                assert_ne!(holder, index, "a holder does not prepare");
                let commits = self.looks[holder].fence(&branch.unit).await;
                self.looks[index].finish(&branch, commits).await;
            }
        }
    }

    /// Asserts that every connection of every pool is there, clean, and gives true replies.
    pub(crate) async fn assert_whole(&mut self) {
        let sessions: Vec<Session> = (0..POOL)
            .map(|_| {
                self.world
                    .binds
                    .with(SessionOptions::new().read_only())
                    .session()
            })
            .collect();
        let answers = sessions
            .iter()
            .zip(0..)
            .map(|(session, n)| async move { assert_answers::<S>(session, 1000 + n).await });
        join_all(answers).await;
        for mut session in sessions {
            session.rollback_all().await.unwrap();
        }
        // Only one unit at a time may write to SQLite.
        let writers = if self.world.databases.iter().all(|d| d.name().is_some()) {
            POOL
        } else {
            1
        };
        let sessions: Vec<(Session, String)> = (0..writers)
            .map(|n| (self.session(), format!("whole {n}")))
            .collect();
        let writing = sessions.iter().map(|(session, text)| async move {
            S::write(session, text).await.unwrap();
            assert_answers::<S>(session, 2000).await;
        });
        join_all(writing).await;
        for (mut session, _) in sessions {
            session.rollback_all().await.unwrap();
        }
    }

    /// Asserts the state after any cancellation: nothing is open, and every pool is complete.
    pub(crate) async fn assert_clean(&mut self) {
        self.settle().await;
        self.assert_whole().await;
        self.settle().await;
    }
}

/// Asserts that each bind of the session returns the number that it was sent.
pub(crate) async fn assert_answers<S: Sides>(session: &Session, number: i64) {
    let answers = S::echo(session, number).await.unwrap();
    assert!(
        answers.iter().all(|answer| *answer == number),
        "asked for {number}, got {answers:?}"
    );
}

pub(crate) async fn binds<S: Sides>(namespace: &str, urls: &[String], pool: PoolKind) -> Binds {
    let builder = World::builder::<S>().pool(pool);
    let builder = builder.binds(|binds| binds.namespace(namespace));
    builder.connect(urls).await
}
