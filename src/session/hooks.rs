//! What the application asked to run when a unit ends: before its commit, after it, and after a roll-back.

mod output;

use std::collections::VecDeque;
use std::panic::Location;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::commit::{CommitError, Committed};
use crate::error::BoxError;
use crate::gid::UnitId;
use crate::session::Session;
use crate::session::closure::WorkOnce;
use crate::session::core::Core;

pub use self::output::HookOutput;
use self::output::run;

impl Session {
    /// Runs `hook` as the first step of the commit of this unit, with the session: to check what must hold, or to write
    /// what belongs to the unit as a whole. An error is a veto: the unit is rolled back, and the commit fails with
    /// [`CommitError::Vetoed`], which names this hook.
    ///
    /// Hooks run in the order in which they were registered, also those that a hook registers, and all before the first
    /// message of the commit. Inside, the unit cannot be ended. They do not run for a unit that can only be rolled back,
    /// nor for [`commit`](Self::commit) of one bind.
    ///
    /// At the [deadline](crate::SessionOptions::deadline) of the unit a hook that has not ended is dropped, and the unit is
    /// rolled back ([`Fault::DeadlineExceeded`]).
    ///
    /// The hook belongs to the unit: it is gone with it. Registered within a [`savepoint`](Self::savepoint) that is
    /// undone, it does not run.
    ///
    /// # Panics
    ///
    /// A hook that panics does so in the caller of the commit. The unit can then only be rolled back.
    ///
    /// # Cancel safety
    ///
    /// A commit that is dropped while a hook runs has not begun, and the unit can only be rolled back: nobody knows what
    /// the hook would have said.
    #[track_caller]
    pub fn before_commit<E, F>(&self, hook: F)
    where
        for<'s> F: AsyncFnOnce(&'s mut Session) -> Result<(), E>
            + WorkOnce<&'s mut Session, Result<(), E>, Future: Send>
            + Send
            + 'static,
        E: Into<BoxError> + 'static,
    {
        let run: Before = Box::new(move |session| said(hook(session)));
        let hook = Hook {
            registered_at: Location::caller(),
            run,
        };
        self.core.hooks.lock().before_commit.push_back(hook);
    }

    /// Runs `hook` when this unit is known to be committed, before `commit_all` returns: to send a mail, or to tell a
    /// cache. It gets what `commit_all` returns, and nothing that it does can change that: an error or a panic of it is in
    /// [`Committed::hook_failures`], and in an event of `tracing`.
    ///
    /// It is `'static` and so cannot borrow the session, which may have begun its next unit by then. It runs on the task
    /// of the commit: also when the caller of `commit_all` has gone away. Work that may take long should be spawned from
    /// it. It runs once, or not at all if the process dies: what must follow a commit for certain belongs into a table
    /// that the unit writes.
    ///
    /// In a unit with a [deadline](crate::SessionOptions::deadline), each hook may take as long as that again; one that takes
    /// longer is dropped, and has failed. Without one, nothing ends a hook, and [`Binds::close`](crate::Binds::close) waits
    /// for it.
    ///
    /// Where the outcome is not known for certain ([`CommitError::is_in_doubt`], [`CommitError::TransactionEnded`]),
    /// neither this nor [`after_rollback`](Self::after_rollback) runs.
    ///
    /// The hook belongs to the unit: it is gone with it. Registered within a [`savepoint`](Self::savepoint) that is
    /// undone, it does not run.
    ///
    /// ```compile_fail
    /// # use diesel_binds::{Binds, Error};
    /// # async fn example(binds: &Binds) -> Result<(), Error> {
    /// let mut session = binds.session();
    /// session.after_commit(async |_| session.unit()); // does not live long enough
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn after_commit<F, Fut>(&self, hook: F)
    where
        F: FnOnce(Committed) -> Fut + Send + 'static,
        Fut: Future<Output: HookOutput> + Send + 'static,
    {
        let hook = Hook {
            registered_at: Location::caller(),
            run: Box::new(move |committed| {
                async move { hook(committed).await.into_result() }.boxed()
            }) as After<Committed>,
        };
        self.core.hooks.lock().after_commit.push(hook);
    }

    /// Runs `hook` when nothing of this unit is kept on any bind: it was rolled back, its commit failed with
    /// [`CommitError::is_rolled_back`], or the session was dropped, by a panic also. An error or a panic of it is an event
    /// of `tracing`.
    ///
    /// It runs in the background, before `commit_all` or `rollback_all` returns, also when their caller has gone away.
    /// Outside of a tokio runtime, a dropped session runs none. A deadline bounds it as a hook [after the
    /// commit](Self::after_commit).
    ///
    /// The hook belongs to the unit: it is gone with it. Registered within a [`savepoint`](Self::savepoint) that is
    /// undone, it runs then: what it speaks of was rolled back.
    #[track_caller]
    pub fn after_rollback<F, Fut>(&self, hook: F)
    where
        F: FnOnce(UnitId) -> Fut + Send + 'static,
        Fut: Future<Output: HookOutput> + Send + 'static,
    {
        let hook = Hook {
            registered_at: Location::caller(),
            run: Box::new(move |unit| async move { hook(unit).await.into_result() }.boxed())
                as After<UnitId>,
        };
        self.core.hooks.lock().after_rollback.push(hook);
    }
}

pub(super) type Before =
    Box<dyn for<'s> FnOnce(&'s mut Session) -> BoxFuture<'s, Result<(), BoxError>> + Send>;
pub(super) type After<T> = Box<dyn FnOnce(T) -> BoxFuture<'static, Result<(), BoxError>> + Send>;

pub(super) struct Hook<F> {
    pub(super) registered_at: &'static Location<'static>,
    pub(super) run: F,
}

/// The hooks of one unit.
#[derive(Default)]
pub(super) struct Hooks {
    /// How long each of those after the end may take.
    limit: Option<Duration>,
    pub(super) before_commit: VecDeque<Hook<Before>>,
    after_commit: Vec<Hook<After<Committed>>>,
    after_rollback: Vec<Hook<After<UnitId>>>,
}

/// How many hooks there were when a savepoint was set.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    before_commit: usize,
    after_commit: usize,
    after_rollback: usize,
}

/// Who keeps a unit that is not committed.
pub(super) enum Kept {
    /// Others, in their transactions: whether it is committed, they decide later.
    ByOthers,
    /// A sandbox, for its later sessions.
    #[cfg(feature = "testing")]
    InSandbox(std::sync::Arc<crate::registry::Rules>),
}

impl Core {
    /// Who keeps a unit that is not committed.
    pub(super) fn kept(&self) -> Kept {
        #[cfg(feature = "testing")]
        if let Some(rules) = self.registry.sandbox() {
            return Kept::InSandbox(std::sync::Arc::clone(rules));
        }
        Kept::ByOthers
    }
}

/// The hooks of the unit that a session is in.
#[derive(Default)]
pub(super) struct UnitHooks(Mutex<Hooks>);

impl UnitHooks {
    /// Those of the unit that ends. Each that runs afterwards may take as long as `limit`.
    pub(super) fn take(&self, limit: Option<Duration>) -> Hooks {
        Hooks {
            limit,
            ..std::mem::take(&mut self.lock())
        }
    }

    /// Whether a commit has to ask.
    pub(super) fn may_veto(&self) -> bool {
        !self.lock().before_commit.is_empty()
    }

    pub(super) fn mark(&self) -> Mark {
        let hooks = self.lock();
        Mark {
            before_commit: hooks.before_commit.len(),
            after_commit: hooks.after_commit.len(),
            after_rollback: hooks.after_rollback.len(),
        }
    }

    /// Takes back what was registered since, and returns what is to run because of that.
    pub(super) fn undo(&self, mark: Mark, limit: Option<Duration>) -> Hooks {
        let mut hooks = self.lock();
        hooks.before_commit.truncate(mark.before_commit);
        hooks.after_commit.truncate(mark.after_commit);
        let since = mark.after_rollback.min(hooks.after_rollback.len());
        Hooks {
            limit,
            after_rollback: hooks.after_rollback.split_off(since),
            ..Hooks::default()
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Hooks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Hooks {
    /// Runs those that the outcome of a commit is for.
    ///
    /// To be run on the task of the commit.
    pub(super) async fn ended(
        self,
        unit: UnitId,
        result: Result<Committed, CommitError>,
        kept: Kept,
    ) -> Result<Committed, CommitError> {
        match result {
            Ok(joined) if joined.is_joined() => match kept {
                Kept::ByOthers => Ok(joined),
                #[cfg(feature = "testing")]
                Kept::InSandbox(rules) if rules.captures => {
                    let limit = self.limit;
                    for hook in self.after_commit {
                        let committed = joined.clone();
                        rules.capture(Box::new(move || run(hook, committed, limit).boxed()));
                    }
                    Ok(joined)
                }
                #[cfg(feature = "testing")]
                Kept::InSandbox(_) => Ok(self.committed(joined).await),
            },
            Ok(committed) => Ok(self.committed(committed).await),
            Err(error) => {
                if error.is_rolled_back() {
                    self.rolled_back(unit).await;
                } else {
                    self.discard(unit);
                }
                Err(error)
            }
        }
    }

    async fn committed(self, mut committed: Committed) -> Committed {
        for hook in self.after_commit {
            // Each gets the commit as it is, without what the hooks before it have come to.
            let told = Committed {
                hook_failures: Vec::new(),
                ..committed.clone()
            };
            if let Err(failure) = run(hook, told, self.limit).await {
                tracing::error!(
                    unit = %committed.unit,
                    error = &failure as &dyn std::error::Error,
                    "a hook failed after the commit"
                );
                committed.hook_failures.push(failure);
            }
        }
        committed
    }

    /// Runs those that a roll-back is for, if it is certain.
    pub(super) async fn undone(self, unit: UnitId, rolled_back: &Result<(), CommitError>) {
        match rolled_back {
            Ok(()) => self.rolled_back(unit).await,
            Err(_) => self.discard(unit),
        }
    }

    /// Runs those that a roll-back is for.
    ///
    /// To be run on a task of its own.
    pub(super) async fn rolled_back(self, unit: UnitId) {
        for hook in self.after_rollback {
            if let Err(failure) = run(hook, unit, self.limit).await {
                tracing::error!(
                    %unit,
                    error = &failure as &dyn std::error::Error,
                    "a hook failed after the roll-back"
                );
            }
        }
    }

    /// Runs none: nobody knows how the unit ended, or it was ended by others.
    pub(super) fn discard(self, unit: UnitId) {
        if !(self.after_commit.is_empty() && self.after_rollback.is_empty()) {
            tracing::warn!(%unit, "how the unit ended is not certain: its hooks do not run");
        }
    }

    /// Whether a savepoint that was undone has to run any.
    pub(super) fn is_empty(&self) -> bool {
        self.after_rollback.is_empty()
    }
}

fn said<'s, E: Into<BoxError>>(
    asking: impl Future<Output = Result<(), E>> + Send + 's,
) -> BoxFuture<'s, Result<(), BoxError>> {
    asking.map(|said| said.map_err(Into::into)).boxed()
}
