//! The end of a unit: the checks and hooks before it, the task that it runs on, and the hooks after it.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

use crate::commit::{self, Commit, CommitError, CommitParameters, Fault, Participant};
use crate::error::{AbortReason, Waiting};
use crate::gid::UnitId;
use crate::session::Session;
use crate::session::lent::{Lent, Nested};
use crate::session::unit_hooks::{Hooks, Kept};

/// A unit that ends, with its participants and hooks.
type EndingUnit = (UnitId, Vec<Box<dyn Participant>>, Hooks<Session>);

impl Session {
    /// Commits the unit. Does not check whether the caller may end it.
    pub(super) async fn commit_unit(&mut self) -> Result<Commit, CommitError> {
        self.approve().await?;
        let (unit, participants, hooks) = self.take_all()?;
        let ending = self.ending(unit, participants);
        let kept = match self.core().registry.sandbox() {
            Some(sandbox) => Kept::InSandbox(Arc::clone(sandbox)),
            None => Kept::ByOthers,
        };
        self.in_background(unit, async move {
            let result = ending.await;
            hooks.ended(unit, result, kept).await
        })
        .await
    }

    /// Returns the commit or, for a unit within outer transactions, the release of its savepoints.
    pub(super) fn ending(
        &self,
        unit: UnitId,
        participants: Vec<Box<dyn Participant>>,
    ) -> BoxFuture<'static, Result<Commit, CommitError>> {
        let parameters = self.commit_parameters(unit);
        match self.core().is_within_outer() {
            true => commit::release(parameters, participants).boxed(),
            false => commit::commit(parameters, participants).boxed(),
        }
    }

    /// Makes sure that the unit can commit, and that no hook vetoes it.
    ///
    /// Cancellation safety: nothing of the commit has begun. If a hook is dropped, the unit becomes abort-only.
    async fn approve(&mut self) -> Result<(), CommitError> {
        self.roll_back_unless_committable().await?;
        if self.hooks().may_veto() {
            self.ask_hooks().await?;
            self.roll_back_unless_committable().await?;
        }
        Ok(())
    }

    /// Runs the hooks before the commit. The first veto rolls the unit back.
    async fn ask_hooks(&mut self) -> Result<(), CommitError> {
        loop {
            let next = self.hooks().next_before_commit();
            let Some(hook) = next else { return Ok(()) };
            let mut asking = Nested::enter(self, AbortReason::Hook);
            let lent = Lent::of(self);
            let (deadline, bind) = (self.core().deadline(), self.core().first_bind());
            let said = deadline.bound(bind, Waiting::Hook, (hook.run)(self)).await;
            asking.done();
            drop(asking);
            if let Err(exchanged) = lent.taken_back(self) {
                return Err(CommitError::rolled_back(
                    exchanged.bind,
                    Vec::new(),
                    Vec::new(),
                    Fault::Exchanged,
                ));
            }
            let registered_at = hook.registered_at;
            let Ok(said) = said else {
                let fault = Fault::HookTimedOut { registered_at };
                return Err(self.roll_back_because(bind, fault).await);
            };
            if let Err(source) = said {
                return Err(match self.roll_back_unit().await {
                    Ok(()) => CommitError::Vetoed {
                        registered_at,
                        source,
                    },
                    Err(ended) => ended.because(Fault::Vetoed {
                        registered_at,
                        source,
                    }),
                });
            }
        }
    }

    /// Rolls back a unit that can no longer commit, and returns the reason.
    pub(super) async fn roll_back_unless_committable(&mut self) -> Result<(), CommitError> {
        let core = self.core();
        let (bind, fault) = match core.abort_reason() {
            Some((bind, reason)) => (bind, reason.fault()),
            // A unit that has not begun may end after its deadline.
            None if !core.has_begun() => return Ok(()),
            None if core.deadline().has_passed() => (core.first_bind(), Fault::DeadlineExceeded),
            None => match core.registry.sandbox() {
                Some(sandbox) if sandbox.has_ended() => {
                    let bind = core.first_bind();
                    (bind, sandbox.ended(bind))
                }
                _ => return Ok(()),
            },
        };
        Err(self.roll_back_because(bind, fault).await)
    }

    /// Rolls the unit back. Does not check whether the caller may end it.
    pub(crate) async fn roll_back_unit(&mut self) -> Result<(), CommitError> {
        let (unit, participants, hooks) = self.take_all()?;
        if participants.is_empty() && hooks.is_empty() {
            return Ok(());
        }
        let trace = self.core().trace.end(unit);
        self.in_background(unit, async move {
            let rolled_back = commit::roll_back(trace, participants).await;
            hooks.undone(unit, &rolled_back).await;
            rolled_back
        })
        .await
    }

    /// Rolls the unit back because of `fault`, and returns the error for its caller.
    async fn roll_back_because(&mut self, bind: &'static str, fault: Fault) -> CommitError {
        match self.roll_back_unit().await {
            Ok(()) => CommitError::rolled_back(bind, Vec::new(), Vec::new(), fault),
            Err(ended) => ended.because(fault),
        }
    }

    /// Rolls back without a caller that waits. The leases do that when they are dropped; the hooks run in the
    /// background.
    pub(crate) fn roll_back_in_background(&self) -> Result<(), CommitError> {
        let (unit, participants, hooks) = self.take_all()?;
        if hooks.is_empty() {
            return Ok(());
        }
        let Ok(handle) = Handle::try_current() else {
            tracing::warn!("a session was dropped outside of a runtime: its hooks do not run");
            return Ok(());
        };
        let trace = self.core().trace.end(unit);
        let ending = async move {
            let rolled_back = commit::roll_back(trace, participants).await;
            hooks.undone(unit, &rolled_back).await;
            if let Err(error) = rolled_back {
                tracing::warn!(%unit, %error, "a session was dropped, and its roll-back is not confirmed: check the data");
            }
        };
        self.core().registry.spawn(ending, &handle);
        Ok(())
    }

    /// Takes out all leases and hooks, to commit or roll back the unit, and starts a new unit.
    ///
    /// Takes nothing if a lease is in use.
    fn take_all(&self) -> Result<EndingUnit, CommitError> {
        let (unit, participants) = self.core().take_all()?;
        let hooks = self.hooks().take(self.core().options.hooks_within());
        self.declared().renew();
        Ok((unit, participants, hooks))
    }

    fn commit_parameters(&self, unit: UnitId) -> CommitParameters {
        CommitParameters {
            unit,
            namespace: Arc::clone(&self.core().registry.namespace),
            trace: self.core().trace.end(unit),
            best_effort: self.core().options.best_effort,
            rehearses: self.core().registry.is_sandbox(),
            #[cfg(feature = "testing")]
            faults: self
                .core()
                .options
                .faults
                .clone()
                .or_else(|| self.core().registry.faults()),
        }
    }

    /// Runs the end of a unit on a task of its own, so that it goes on if the caller is dropped.
    pub(super) async fn in_background<T: Send + 'static>(
        &self,
        unit: UnitId,
        ending: impl Future<Output = Result<T, CommitError>> + Send + 'static,
    ) -> Result<T, CommitError> {
        let task = self.core().registry.spawn(ending, &Handle::current());
        match task.await {
            Ok(result) => result,
            Err(source) => Err(CommitError::Interrupted { unit, source }),
        }
    }
}

/// Rolls the unit back. Without hooks, the drop of its leases does that.
impl Drop for Session {
    fn drop(&mut self) {
        if self.hooks().is_empty() {
            return;
        }
        if let Err(busy) = self.roll_back_in_background() {
            tracing::warn!(error = %busy, "a session is rolled back without its hooks");
        }
    }
}
