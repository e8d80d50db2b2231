//! Cancellation: whatever is dropped at whatever point, nothing stays open, no reply is false, and units are whole.

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

/// How many connections the pools of [`World`] have.
const POOL: i64 = 4;

/// The longest that the background may take to clean up, on a loaded machine.
const LONG: Duration = Duration::from_secs(40);

/// Databases that tests cancel in, and eyes on each of them.
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

    /// Where the databases are.
    pub(crate) fn urls(&self) -> Vec<String> {
        self.world.urls()
    }

    /// Forgets pools and servers: the next query is the first of all.
    pub(crate) async fn forget(&mut self) {
        self.world.binds = binds::<S>(&self.namespace, &self.urls(), self.pool).await;
    }

    pub(crate) fn session(&self) -> Session {
        self.world.binds.session()
    }

    /// A text that no row has.
    pub(crate) fn text(&mut self) -> String {
        self.texts += 1;
        format!("text {}", self.texts)
    }

    /// On which databases a row is.
    pub(crate) async fn places(&self, text: &str) -> Vec<bool> {
        let all = S::rows(&self.world).await;
        all.iter()
            .map(|rows| rows.iter().any(|row| row == text))
            .collect()
    }

    /// Makes sure that a row is everywhere or nowhere; returns which.
    pub(crate) async fn is_everywhere(&self, text: &str) -> bool {
        let places: BTreeSet<bool> = self.places(text).await.into_iter().collect();
        assert_eq!(places.len(), 1, "the unit is torn: {text}");
        places.contains(&true)
    }

    /// Waits until nothing is open or prepared any more. A commit whose caller has gone away applies in the background what
    /// it decided: until then nothing is open, and a branch is prepared. Nobody else finishes one.
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

    /// Waits until nothing is open any more. The servers tell nobody, so that they have to be asked.
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

    /// Waits until nobody else is connected: what a dead process sent has arrived by then, or never will.
    pub(crate) async fn wait_for_nobody(&mut self) {
        let end = Instant::now() + LONG;
        for look in &mut self.looks {
            loop {
                let connections = match look {
                    // A file knows of no connections, only of their locks.
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

    /// Brings prepared branches to the outcome that their holders have, as recovery does.
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

    /// Makes sure that every connection of every pool is there, clean, and gives true replies.
    pub(crate) async fn is_whole(&mut self) {
        let sessions: Vec<Session> = (0..POOL)
            .map(|_| {
                self.world
                    .binds
                    .session_with(SessionOptions::new().read_only())
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
        // Only one at a time may write to SQLite.
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

    /// All of the above: what has to hold after anything was cancelled.
    pub(crate) async fn is_clean(&mut self) {
        self.settle().await;
        self.is_whole().await;
        self.settle().await;
    }
}

/// Makes sure that each bind of the session answers what it was asked.
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
