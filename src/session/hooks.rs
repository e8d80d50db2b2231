//! The methods that register hooks of a unit: before its commit, after it, and after a roll-back.

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::commit::Commit;
use crate::error::BoxError;
use crate::gid::UnitId;
use crate::session::Session;
use crate::session::closure::WorkOnce;
use crate::session::unit_hooks::HookOutput;

impl Session {
    /// Runs `hook` with the session as the first step of the commit of this unit. Use it to check invariants, or to
    /// write rows that concern the whole unit. An error is a veto: the unit is rolled back, and the commit fails with
    /// [`CommitError::Vetoed`](crate::CommitError::Vetoed), which names this hook.
    ///
    /// Hooks run in the order of their registration, before the first message of the commit. Hooks that a hook
    /// registers run as well. Inside a hook, the unit cannot be ended. Hooks do not run for a unit that can only be
    /// rolled back, nor for [`commit_only`](Self::commit_only).
    ///
    /// A hook that has not completed at the [deadline](crate::SessionOptions::deadline) of the unit is dropped, and the
    /// unit is rolled back ([`Fault::HookTimedOut`](crate::error::Fault::HookTimedOut)).
    ///
    /// The hook is registered for this unit only. If it was registered within a [`savepoint`](Self::savepoint) that is
    /// undone, it does not run.
    ///
    /// # Example
    ///
    /// The compiler takes the type of the error from the hook. A hook that only uses `?` has to name it:
    /// `Ok::<(), Error>(())`.
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")]
    /// # mod example {
    /// use diesel::prelude::*;
    /// use diesel_binds::{
    ///     AsyncSqliteConnection, Bind, BoxError, Commit, Error, RunQueryDsl, Session, bind_tables,
    /// };
    ///
    /// diesel::table! { accounts (id) { id -> Integer, balance -> BigInt, } }
    ///
    /// #[derive(Bind)]
    /// #[bind(key = "accounts", connection = AsyncSqliteConnection)]
    /// pub struct Accounts;
    /// bind_tables!(Accounts => accounts);
    ///
    /// async fn withdraw(session: &mut Session, id: i32, amount: i64) -> Result<Commit, Error> {
    ///     session.before_commit(async |session| {
    ///         let overdrawn = accounts::table.filter(accounts::balance.lt(0)).count();
    ///         match overdrawn.get_result::<i64>(session).await? {
    ///             0 => Ok(()),
    ///             _ => Err(BoxError::from("an account is overdrawn")),
    ///         }
    ///     });
    ///     diesel::update(accounts::table.find(id))
    ///         .set(accounts::balance.eq(accounts::balance - amount))
    ///         .execute(session)
    ///         .await?;
    ///     Ok(session.commit_all().await?) // `CommitError::Vetoed` if an account is overdrawn
    /// }
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// A panic of the hook reaches the caller of the commit. The unit can then only be rolled back.
    ///
    /// # Cancel safety
    ///
    /// If the commit is dropped while a hook runs, nothing of it has begun. The unit can then only be rolled back,
    /// because the hook might have vetoed it.
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

    /// Runs `hook` once this unit is known to be committed, before `commit_all` returns. Use it to send mail, or to
    /// invalidate a cache. The hook receives the result of `commit_all`, and cannot change it. That is
    /// [`Commit::Committed`], and in a sandbox for tests [`Commit::Released`]. An error or a panic of the hook is in
    /// [`Commit::hook_failures`], and in an event of `tracing`.
    ///
    /// The hook is `'static` and cannot borrow the session, which may have begun its next unit by then. It runs on the
    /// task of the commit, even if the caller of `commit_all` was dropped. Spawn long work from it. The hook runs once,
    /// or not at all if the process dies. If work must follow a commit, write a row for it within the unit (an outbox
    /// table).
    ///
    /// In a unit with a [deadline](crate::SessionOptions::deadline), each hook may take as long as the deadline again.
    /// One that takes longer is dropped and counts as failed. Without a deadline, nothing ends a hook, and
    /// [`Binds::close`](crate::Binds::close) waits for it.
    ///
    /// If the outcome is not known for certain ([`CommitError::is_in_doubt`](crate::CommitError::is_in_doubt),
    /// [`CommitError::TransactionEnded`](crate::CommitError::TransactionEnded)), neither this hook nor an
    /// [`after_rollback`](Self::after_rollback) hook runs.
    ///
    /// The hook is registered for this unit only. If it was registered within a [`savepoint`](Self::savepoint) that is
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
        F: FnOnce(Commit) -> Fut + Send + 'static,
        Fut: Future<Output: HookOutput> + Send + 'static,
    {
        self.hooks().after_commit(Box::new(move |committed| {
            async move { hook(committed).await.into_result() }.boxed()
        }));
    }

    /// Runs `hook` once nothing of this unit is kept on any bind. That is so if the unit was rolled back, or its commit
    /// failed with [`CommitError::is_rolled_back`](crate::CommitError::is_rolled_back), or the session was dropped,
    /// even by a panic. An error or a panic of the hook is in an event of `tracing`.
    ///
    /// The hook runs in the background, before `commit_all` or `rollback_all` returns, even if their caller was
    /// dropped. A session that is dropped outside of a tokio runtime runs no hooks. A deadline limits the hook like one
    /// [after the commit](Self::after_commit).
    ///
    /// The hook is registered for this unit only. If it was registered within a [`savepoint`](Self::savepoint) that is
    /// undone, it runs at that moment.
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
