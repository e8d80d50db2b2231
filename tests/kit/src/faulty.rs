//! Databases behind proxies, and the comparison of a commit's result with their contents.

use std::marker::PhantomData;
use std::time::Duration;

use diesel_binds::recovery::Outcome;
use diesel_binds::{BindOptions, Commit, CommitError, Error, Session, SessionOptions, UnitId};

use crate::database::Database;
use crate::prepared::{decision, finish, prepared};
use crate::proxy::{Fault, Proxy};
use crate::world::{Sides, World};

/// Binds whose servers are reached through proxies.
pub struct Faulty<S> {
    pub world: World,
    /// The proxies: one for each server, none for a file.
    pub proxies: Vec<Option<Proxy>>,
    sides: PhantomData<S>,
}

/// The timeouts of a step and of a resolution.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub step: Duration,
    pub resolve: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            step: Duration::from_secs(20),
            resolve: Duration::from_secs(10),
        }
    }
}

/// The result of a commit, as its caller gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitReport {
    Committed { pending: Vec<&'static str> },
    RolledBack { pending: Vec<&'static str> },
    InDoubt,
    Unknown,
}

impl CommitReport {
    pub const COMMITTED: Self = Self::Committed {
        pending: Vec::new(),
    };
    pub const ROLLED_BACK: Self = Self::RolledBack {
        pending: Vec::new(),
    };

    fn of(result: &Result<Commit, CommitError>) -> Self {
        match result {
            // The unit had been rolled back before the commit.
            Ok(committed) if committed.binds().is_empty() => Self::ROLLED_BACK,
            Ok(Commit::Committed(committed)) => Self::Committed {
                pending: committed.pending().to_vec(),
            },
            Ok(Commit::Released(_)) => panic!("a unit was only released"),
            Err(CommitError::RolledBack { pending, .. }) => Self::RolledBack {
                pending: pending.clone(),
            },
            Err(CommitError::TransactionEnded { pending, .. }) => Self::RolledBack {
                pending: pending.clone(),
            },
            Err(CommitError::NotAtomic { .. }) => Self::ROLLED_BACK,
            Err(CommitError::InDoubt { .. }) => Self::InDoubt,
            Err(CommitError::Unknown { .. }) => Self::Unknown,
            Err(other) => panic!("a commit ended as {other:?}"),
        }
    }
}

/// A unit that was tried.
#[derive(Debug)]
pub struct Attempt {
    pub unit: UnitId,
    pub text: String,
    /// The result of the statements.
    pub written: Result<(), Error>,
    pub result: Result<Commit, CommitError>,
}

impl Attempt {
    pub fn report(&self) -> CommitReport {
        CommitReport::of(&self.result)
    }
}

impl<S: Sides> Faulty<S> {
    pub async fn start(limits: Limits, options: &BindOptions) -> Self {
        Self::over(S::databases().await, limits, options).await
    }

    pub async fn over(databases: Vec<Database>, limits: Limits, options: &BindOptions) -> Self {
        let mut urls = Vec::new();
        let mut proxies = Vec::new();
        for database in &databases {
            let proxy = match database.name() {
                Some(_) => Some(Proxy::start(database.url()).await),
                None => None,
            };
            urls.push(match &proxy {
                Some(proxy) => proxy.url(database.url()),
                None => database.url().to_owned(),
            });
            proxies.push(proxy);
        }
        let binds = World::builder::<S>().options(options).binds(|binds| {
            binds
                .namespace("faults")
                .step_timeout(limits.step)
                .resolve_timeout(limits.resolve)
        });
        let binds = binds.connect(&urls).await;
        Self {
            world: World { binds, databases },
            proxies,
            sides: PhantomData,
        }
    }

    /// Returns the proxies with their positions.
    pub fn servers(&self) -> impl Iterator<Item = (usize, &Proxy)> {
        let numbered = self.proxies.iter().enumerate();
        numbered.filter_map(|(index, proxy)| Some((index, proxy.as_ref()?)))
    }

    pub fn proxy(&self, index: usize) -> &Proxy {
        self.proxies[index].as_ref().expect("a server has a proxy")
    }

    pub fn is_mysql(&self, index: usize) -> bool {
        self.world.databases[index].url().starts_with("mysql")
    }

    /// Returns whether this side holds the decision when all write: the side that cannot prepare, otherwise a
    /// MySQL/MariaDB side, otherwise the first.
    pub fn is_holder(&self, index: usize) -> bool {
        let urls = || self.world.databases.iter().map(Database::url);
        let holder = urls()
            .position(|url| !url.contains("://"))
            .or_else(|| urls().position(|url| url.starts_with("mysql")));
        holder.unwrap_or(0) == index
    }

    /// Writes one row everywhere, and commits, also when a statement failed.
    pub async fn attempt(&self, text: &str) -> Attempt {
        self.attempt_on(&mut self.world.binds.session(), text).await
    }

    /// Writes one row everywhere with a deadline, and commits.
    pub async fn attempt_within(&self, deadline: Duration, text: &str) -> Attempt {
        let options = SessionOptions::new().deadline(deadline);
        self.attempt_on(&mut self.world.binds.with(options).session(), text)
            .await
    }

    async fn attempt_on(&self, session: &mut Session, text: &str) -> Attempt {
        let unit = session.unit();
        let written = S::write(session, text).await;
        // A begin that failed makes the unit abort-only, and the session stays open. The application has to end the
        // unit.
        if let Err(Error::Begin { .. } | Error::Pool { .. }) = written {
            session.rollback_all().await.unwrap();
        }
        Attempt {
            unit,
            text: text.to_owned(),
            written,
            result: session.commit_all().await,
        }
    }

    /// Arms a fault, runs a unit, judges it, and runs another without a fault. Returns `None` if the fault did not
    /// fire.
    pub async fn with_fault(
        &self,
        index: usize,
        fault: &Fault,
        text: &str,
    ) -> Option<CommitReport> {
        let proxy = self.proxy(index);
        proxy.inject(fault.clone());
        let attempt = self.attempt(text).await;
        let fired = !proxy.disarm();
        let reported = self.judge(&attempt).await;
        if !fired {
            assert_eq!(reported, CommitReport::COMMITTED, "{fault:?}");
            return None;
        }
        self.assert_works_again(text).await;
        Some(reported)
    }

    /// Asserts that a unit without a fault commits.
    pub async fn assert_works_again(&self, text: &str) {
        let after = self.attempt(&format!("after {text}")).await;
        assert_eq!(
            self.judge(&after).await,
            CommitReport::COMMITTED,
            "{after:?}"
        );
    }

    /// Cuts all connections through proxies. Prepared branches stay.
    pub fn cut(&self) {
        for (_, proxy) in self.servers() {
            proxy.cut();
        }
    }

    /// Compares the result with the databases. Finishes the remaining branches by hand, according to the decision.
    pub async fn judge(&self, attempt: &Attempt) -> CommitReport {
        let reported = attempt.report();
        let keys = S::keys();
        let mut left = Vec::new();
        for (index, database) in self.world.databases.iter().enumerate() {
            for branch in prepared(database.url(), attempt.unit).await {
                left.push((index, branch));
            }
        }
        for (index, branch) in &left {
            let named = match &reported {
                CommitReport::Committed { pending } | CommitReport::RolledBack { pending } => {
                    pending.contains(&keys[*index])
                }
                CommitReport::InDoubt => true,
                CommitReport::Unknown => false,
            };
            assert!(
                named,
                "{branch:?} is prepared, and the commit does not report it: {attempt:?}"
            );
        }
        if !left.is_empty() {
            self.cut();
        }
        let mut decisions = Vec::new();
        for database in &self.world.databases {
            decisions.extend(decision(database.url(), attempt.unit).await);
        }
        let decided = decisions.contains(&Outcome::Committed);
        for (index, branch) in &left {
            let outcome = if decided {
                Outcome::Committed
            } else {
                Outcome::RolledBack
            };
            finish(self.world.databases[*index].url(), branch, outcome).await;
        }

        let kept: Vec<bool> = S::rows(&self.world)
            .await
            .iter()
            .map(|rows| rows.contains(&attempt.text))
            .collect();
        let torn = kept.contains(&true) && kept.contains(&false);
        assert!(!torn, "torn: {kept:?}, {attempt:?}");
        match &reported {
            CommitReport::Committed { .. } => {
                assert!(kept[0], "committed, and not there: {attempt:?}")
            }
            CommitReport::RolledBack { .. } => {
                assert!(!kept[0], "rolled back, and there: {attempt:?}")
            }
            CommitReport::InDoubt => assert_eq!(kept[0], decided, "{attempt:?}"),
            CommitReport::Unknown => assert_eq!(kept.len(), 1, "{attempt:?}"),
        }
        if attempt.written.is_err() {
            assert!(!kept[0], "a part of the unit failed: {attempt:?}");
        }
        reported
    }
}
