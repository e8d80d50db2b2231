//! The hooks of one unit: those before its commit, those after it, and those after a roll-back.

// Files, each of which imports only from those before it: `hook`, `output`.

mod hook;
mod output;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use parking_lot::Mutex;

use crate::commit::{Commit, CommitError};
use crate::gid::UnitId;
use crate::registry::AnySandbox;

use self::hook::run;
pub(super) use self::hook::{After, Before, Hook};
pub use self::output::HookOutput;

/// The hooks of one unit. Those before its commit borrow the session `S`.
pub(super) struct Hooks<S> {
    /// The time limit of each hook after the end.
    limit: Option<Duration>,
    before_commit: VecDeque<Hook<Before<S>>>,
    after_commit: Vec<Hook<After<Commit>>>,
    after_rollback: Vec<Hook<After<UnitId>>>,
}

impl<S> Default for Hooks<S> {
    fn default() -> Self {
        Self {
            limit: None,
            before_commit: VecDeque::new(),
            after_commit: Vec::new(),
            after_rollback: Vec::new(),
        }
    }
}

/// The numbers of hooks when a savepoint was set.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    before_commit: usize,
    after_commit: usize,
    after_rollback: usize,
}

/// The keeper of a unit whose end commits nothing.
pub(super) enum Kept {
    /// Outer transactions, which later keep or lose it.
    ByOthers,
    /// A sandbox, for its later sessions.
    InSandbox(Arc<dyn AnySandbox>),
}

/// The hooks of the current unit of a session.
pub(super) struct UnitHooks<S>(Mutex<Hooks<S>>);

impl<S> UnitHooks<S> {
    #[track_caller]
    pub(super) fn before_commit(&self, run: Before<S>) {
        self.0.lock().before_commit.push_back(Hook::new(run));
    }

    #[track_caller]
    pub(super) fn after_commit(&self, run: After<Commit>) {
        self.0.lock().after_commit.push(Hook::new(run));
    }

    #[track_caller]
    pub(super) fn after_rollback(&self, run: After<UnitId>) {
        self.0.lock().after_rollback.push(Hook::new(run));
    }

    /// Takes out the next hook before the commit.
    pub(super) fn next_before_commit(&self) -> Option<Hook<Before<S>>> {
        self.0.lock().before_commit.pop_front()
    }

    /// Returns whether a roll-back has no hooks to run.
    pub(super) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }

    /// Takes out all hooks of a unit that ends. Each hook after the end may take as long as `limit`.
    pub(super) fn take(&self, limit: Option<Duration>) -> Hooks<S> {
        Hooks {
            limit,
            ..std::mem::take(&mut self.0.lock())
        }
    }

    /// Returns whether there are hooks before the commit.
    pub(super) fn may_veto(&self) -> bool {
        !self.0.lock().before_commit.is_empty()
    }

    pub(super) fn mark(&self) -> Mark {
        let hooks = self.0.lock();
        Mark {
            before_commit: hooks.before_commit.len(),
            after_commit: hooks.after_commit.len(),
            after_rollback: hooks.after_rollback.len(),
        }
    }

    /// Removes the hooks that were registered since `mark`, and returns those that run because of that.
    pub(super) fn undo(&self, mark: Mark, limit: Option<Duration>) -> Hooks<S> {
        let mut hooks = self.0.lock();
        hooks.before_commit.truncate(mark.before_commit);
        hooks.after_commit.truncate(mark.after_commit);
        let since = mark.after_rollback.min(hooks.after_rollback.len());
        Hooks {
            limit,
            after_rollback: hooks.after_rollback.split_off(since),
            ..Hooks::default()
        }
    }
}

impl<S> Default for UnitHooks<S> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<S> Hooks<S> {
    /// Runs the hooks for the outcome of a commit.
    ///
    /// Call it on the task of the commit.
    pub(super) async fn ended(
        self,
        unit: UnitId,
        result: Result<Commit, CommitError>,
        kept: Kept,
    ) -> Result<Commit, CommitError> {
        match result {
            Ok(released @ Commit::Released(_)) => match kept {
                Kept::ByOthers => Ok(released),
                Kept::InSandbox(sandbox) if sandbox.captures_hooks() => {
                    let limit = self.limit;
                    for hook in self.after_commit {
                        let commit = released.clone();
                        sandbox.capture(Box::new(move || run(hook, commit, limit).boxed()));
                    }
                    Ok(released)
                }
                Kept::InSandbox(_) => Ok(self.committed(released).await),
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

    async fn committed(self, mut commit: Commit) -> Commit {
        // Each hook gets the result of the commit, without the failures of the hooks before it.
        let without_failures = commit.clone();
        for hook in self.after_commit {
            if let Err(failure) = run(hook, without_failures.clone(), self.limit).await {
                tracing::error!(
                    unit = %commit.unit(),
                    error = &failure as &dyn std::error::Error,
                    "a hook failed after the commit"
                );
                commit.add_hook_failure(failure);
            }
        }
        commit
    }

    /// Runs the hooks after a roll-back, if the roll-back is certain.
    pub(super) async fn undone(self, unit: UnitId, rolled_back: &Result<(), CommitError>) {
        match rolled_back {
            Ok(()) => self.rolled_back(unit).await,
            Err(_) => self.discard(unit),
        }
    }

    /// Runs the hooks after a roll-back.
    ///
    /// Call it on a task of its own.
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

    /// Runs no hooks, because the outcome of the unit is not certain or another statement ended it.
    pub(super) fn discard(self, unit: UnitId) {
        if !(self.after_commit.is_empty() && self.after_rollback.is_empty()) {
            tracing::warn!(%unit, "the outcome of the unit is not confirmed: its hooks do not run");
        }
    }

    /// Returns whether a roll-back, of the unit or to a savepoint, has no hooks to run.
    pub(super) fn is_empty(&self) -> bool {
        self.after_rollback.is_empty()
    }
}
