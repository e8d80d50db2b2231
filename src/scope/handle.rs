//! One session, shared by the parts of a scope: several can run queries at once, and one alone ends it.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::commit::Commit;
use crate::error::Error;
use crate::gid::UnitId;
use crate::scope::CURRENT;
use crate::session::{Lent, Session, Units};

/// The session of a scope, shared by all its clones. Returned by [`current`](crate::current).
///
/// Queries run on `&scope` as on a session, also several at once. The unit ends, or is [locked](Self::lock), only while
/// no query runs. For a [`Session`], the compiler ensures this. Here, a violation is an error, [`Error::SessionInUse`],
/// and never a wait.
///
/// Cloning is cheap, and all clones are one session. After the end of the scope, each query fails with
/// [`Error::ScopeEnded`].
#[derive(Clone)]
pub struct Scope {
    shared: Arc<Shared>,
}

struct Shared {
    /// The session for queries, which borrow from it under a read guard of `session`.
    view: Session,
    /// The check that a locked session was left in its place.
    lent: Lent,
    /// The session for the end of the unit. Queries share it, and the end has it exclusively.
    session: Arc<RwLock<Session>>,
    ended: AtomicBool,
    background: TaskTracker,
}

impl Scope {
    /// Returns the session for queries. While the guard exists, the session cannot end or be locked.
    pub(super) fn enter(&self) -> Result<(&Session, RwLockReadGuard<'_, Session>), Error> {
        let guard = self.shared.session.try_read();
        self.check_not_ended()?;
        let guard = guard.map_err(|_| Error::SessionInUse)?;
        self.shared.lent.taken_back(&guard)?;
        Ok((&self.shared.view, guard))
    }

    /// Returns the session without a guard, for calls that run no query yet.
    pub(super) fn view(&self) -> &Session {
        &self.shared.view
    }

    fn check_not_ended(&self) -> Result<(), Error> {
        match self.shared.ended.load(Ordering::SeqCst) {
            true => Err(Error::ScopeEnded),
            false => Ok(()),
        }
    }

    /// Returns the unit of work that queries now belong to.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.shared.view.unit()
    }

    /// Locks the session, for savepoints, the raw connection and functions that take a [`Session`].
    ///
    /// Until the guard is dropped, every other use of the session in the scope fails with [`Error::SessionInUse`].
    ///
    /// # Errors
    ///
    /// [`Error::SessionInUse`] if a query runs in the scope, or the session is locked; [`Error::ScopeEnded`].
    pub fn lock(&self) -> Result<ScopeGuard<'_>, Error> {
        let guard = self.shared.session.try_write();
        self.check_not_ended()?;
        let session = guard.map_err(|_| Error::SessionInUse)?;
        self.shared.lent.taken_back(&session)?;
        Ok(ScopeGuard {
            session,
            lent: &self.shared.lent,
        })
    }

    /// Commits the work of the unit on all binds, or none of it, like [`Session::commit_all`].
    ///
    /// # Errors
    ///
    /// [`Error::Commit`] states the outcome for the data. After [`Error::SessionInUse`] and [`Error::ScopeEnded`], this
    /// call committed nothing.
    ///
    /// # Cancel safety
    ///
    /// See [`Session::commit_all`].
    pub async fn commit_all(&self) -> Result<Commit, Error> {
        Ok(self.lock()?.commit_all().await?)
    }

    /// Rolls back the work of the unit on all binds, like [`Session::rollback_all`].
    ///
    /// # Errors
    ///
    /// The errors of [`lock`](Self::lock), after which nothing was changed, and those of [`Session::rollback_all`].
    ///
    /// # Cancel safety
    ///
    /// See [`Session::rollback_all`].
    pub async fn rollback_all(&self) -> Result<(), Error> {
        Ok(self.lock()?.rollback_all().await?)
    }

    /// Starts a task within the scope: [`current`](crate::current) returns this session there.
    ///
    /// The scope does not wait for the task. Join it before the unit is committed: while the task runs a query, the
    /// unit cannot end. After the end of the scope, its queries fail with [`Error::ScopeEnded`].
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn<F>(&self, future: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        tokio::spawn(self.within(future))
    }

    /// Puts a future into the scope, for other ways to start it: `JoinSet::spawn(scope.within(future))`.
    pub fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), future)
    }
}

#[cfg(feature = "tower")]
impl Scope {
    /// Runs a function within the scope.
    pub(crate) fn enclose<R>(&self, run: impl FnOnce() -> R) -> R {
        CURRENT.sync_scope(self.clone(), run)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope")
            .field("ended", &self.shared.ended)
            .finish_non_exhaustive()
    }
}

/// The locked session of a scope, which no other part of the scope can use. From [`Scope::lock`].
#[must_use = "the session is locked only as long as this lives"]
pub struct ScopeGuard<'s> {
    session: RwLockWriteGuard<'s, Session>,
    lent: &'s Lent,
}

impl Drop for ScopeGuard<'_> {
    fn drop(&mut self) {
        // If another session was left in its place, later uses of the scope fail.
        let _ = self.lent.taken_back(&self.session);
    }
}

impl Deref for ScopeGuard<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for ScopeGuard<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

impl fmt::Debug for ScopeGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.session.fmt(f)
    }
}

/// A scope that has not ended. Dropping it ends it, in the background.
pub(crate) struct Open {
    scope: Scope,
}

impl Open {
    pub(crate) fn new(units: Units<'_>) -> Self {
        let background = units.binds().registry.background.clone();
        let session = units.session();
        let shared = Shared {
            view: session.share(),
            lent: Lent::of(&session),
            session: Arc::new(RwLock::new(session)),
            ended: AtomicBool::new(false),
            background,
        };
        Self {
            scope: Scope {
                shared: Arc::new(shared),
            },
        }
    }

    pub(crate) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Rolls back the uncommitted work of the scope.
    ///
    /// # Cancel safety
    ///
    /// The roll-back then continues in the background.
    pub(crate) async fn end(self) {
        self.scope.shared.ended.store(true, Ordering::SeqCst);
        if let Ok(mut session) = self.scope.shared.session.try_write()
            && let Err(error) = session.roll_back_unit().await
        {
            tracing::warn!(%error, "the session of a scope has ended, and its roll-back is not confirmed: check the data");
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let Shared {
            session,
            ended,
            background,
            ..
        } = &*self.scope.shared;
        ended.store(true, Ordering::SeqCst);
        if let Ok(session) = session.try_write() {
            if let Err(error) = session.roll_back_in_background() {
                tracing::warn!(%error, "the session of a scope is rolled back when its last user is done");
            }
            return;
        }
        // A task of the scope is using the session. Without a runtime, the last handle rolls back when it is dropped.
        if let Ok(runtime) = Handle::try_current() {
            let session = Arc::clone(session);
            background.spawn_on(
                async move {
                    if let Err(error) = session.write_owned().await.roll_back_in_background() {
                        tracing::warn!(%error, "the session of a scope is rolled back when its last user is done");
                    }
                },
                &runtime,
            );
        }
    }
}
