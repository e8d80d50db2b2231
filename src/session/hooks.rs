//! What the application asked to run when a unit ends: before its commit, after it, and after a roll-back.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::commit::Committed;
use crate::error::BoxError;
use crate::gid::UnitId;
use crate::session::Session;
use crate::session::closure::WorkOnce;
use crate::session::unit_hooks::HookOutput;

impl Session {
    /// Runs `hook` as the first step of the commit of this unit, with the session: to check what must hold, or to write
    /// what belongs to the unit as a whole. An error is a veto: the unit is rolled back, and the commit fails with
    /// [`CommitError::Vetoed`](crate::CommitError::Vetoed), which names this hook.
    ///
    /// Hooks run in the order in which they were registered, also those that a hook registers, and all before the first
    /// message of the commit. Inside, the unit cannot be ended. They do not run for a unit that can only be rolled back,
    /// nor for [`commit_only`](Self::commit_only).
    ///
    /// At the [deadline](crate::SessionOptions::deadline) of the unit a hook that has not ended is dropped, and the unit is
    /// rolled back ([`Fault::DeadlineExceeded`](crate::Fault::DeadlineExceeded)).
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
        self.hooks()
            .before_commit(Box::new(move |session| said(hook(session))));
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
    /// Where the outcome is not known for certain ([`CommitError::is_in_doubt`](crate::CommitError::is_in_doubt), [`CommitError::TransactionEnded`](crate::CommitError::TransactionEnded)),
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
        self.hooks().after_commit(Box::new(move |committed| {
            async move { hook(committed).await.into_result() }.boxed()
        }));
    }

    /// Runs `hook` when nothing of this unit is kept on any bind: it was rolled back, its commit failed with
    /// [`CommitError::is_rolled_back`](crate::CommitError::is_rolled_back), or the session was dropped, by a panic also. An error or a panic of it is an event
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
        self.hooks().after_rollback(Box::new(move |unit| {
            async move { hook(unit).await.into_result() }.boxed()
        }));
    }
}

fn said<'s, E: Into<BoxError>>(
    asking: impl Future<Output = Result<(), E>> + Send + 's,
) -> BoxFuture<'s, Result<(), BoxError>> {
    asking.map(|said| said.map_err(Into::into)).boxed()
}
