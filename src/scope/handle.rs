//! One session, shared by the parts of a scope: queries beside each other, its end by one of them alone.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime::Handle;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::commit::Committed;
use crate::error::Error;
use crate::gid::UnitId;
use crate::registry::Binds;
use crate::scope::CURRENT;
use crate::session::{Lent, Session, SessionOptions};

/// The session of a scope, in all the hands that it is in. From [`current`](crate::current).
///
/// Queries run on `&scope` as on a session, also several at once. The unit ends, or is [locked](Self::lock), only
/// while no query runs: what the compiler makes sure of for a [`Session`] is here an error,
/// [`Error::SessionInUse`], and never a wait.
///
/// Cheap to clone; all clones are one session. It does not outlive its scope: afterwards each query fails with
/// [`Error::ScopeEnded`].
#[derive(Clone)]
pub struct Scope {
    shared: Arc<Shared>,
}

struct Shared {
    /// For queries, which borrow from it. Under a read guard of `session`.
    view: Session,
    /// For whoever locks the session.
    lent: Lent,
    /// For its end. Shared by queries, exclusive to who ends it.
    session: Arc<RwLock<Session>>,
    ended: AtomicBool,
    background: TaskTracker,
}

impl Scope {
    /// Whether it may be used, for as long as the guard lives.
    pub(super) fn enter(&self) -> Result<(&Session, RwLockReadGuard<'_, Session>), Error> {
        let guard = self.shared.session.try_read();
        self.check_not_ended()?;
        let guard = guard.map_err(|_| Error::SessionInUse)?;
        self.shared.lent.taken_back(&guard)?;
        Ok((&self.shared.view, guard))
    }

    /// For what does not run anything yet.
    pub(super) fn view(&self) -> &Session {
        &self.shared.view
    }

    fn check_not_ended(&self) -> Result<(), Error> {
        match self.shared.ended.load(Ordering::SeqCst) {
            true => Err(Error::ScopeEnded),
            false => Ok(()),
        }
    }

    /// The unit of work that queries now belong to.
    #[must_use]
    pub fn unit(&self) -> UnitId {
        self.shared.view.unit()
    }

    /// The session itself, for what takes a [`Session`]: savepoints, the raw connection, functions that know nothing of
    /// scopes.
    ///
    /// Until the guard is dropped, everything else in the scope that uses the session fails with
    /// [`Error::SessionInUse`].
    ///
    /// # Errors
    ///
    /// [`Error::SessionInUse`] if a query runs in the scope, or somebody has locked it; [`Error::ScopeEnded`].
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

    /// Commits what the unit did on all binds, or none of it, as [`Session::commit_all`] does.
    ///
    /// # Errors
    ///
    /// [`Error::Commit`] says what became of the data. [`Error::SessionInUse`] and [`Error::ScopeEnded`]: nothing was
    /// committed by this call.
    ///
    /// # Cancel safety
    ///
    /// As [`Session::commit_all`].
    pub async fn commit_all(&self) -> Result<Committed, Error> {
        Ok(self.lock()?.commit_all().await?)
    }

    /// Rolls back what the unit did on all binds, as [`Session::rollback_all`] does.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock): nothing was changed.
    ///
    /// # Cancel safety
    ///
    /// As [`Session::rollback_all`].
    pub async fn rollback_all(&self) -> Result<(), Error> {
        Ok(self.lock()?.rollback_all().await?)
    }

    /// Starts a task inside of the scope: [`current`](crate::current) is this session there.
    ///
    /// The scope does not wait for it. Join it before the unit is committed: while it runs a query, the unit cannot
    /// end, and when the scope has ended, its queries fail with [`Error::ScopeEnded`].
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

    /// The future inside of the scope, for other ways to start it: `JoinSet::spawn(scope.within(future))`.
    pub fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT.scope(self.clone(), future)
    }
}

#[cfg(feature = "tower")]
impl Scope {
    /// Runs a function inside of the scope.
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

/// The session of a scope, kept from all other parts of it. From [`Scope::lock`].
#[must_use = "the session is locked only as long as this lives"]
pub struct ScopeGuard<'s> {
    session: RwLockWriteGuard<'s, Session>,
    lent: &'s Lent,
}

impl Drop for ScopeGuard<'_> {
    fn drop(&mut self) {
        // From then on, everything in the scope is told.
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
    pub(crate) fn new(binds: &Binds, options: SessionOptions) -> Self {
        let session = binds.session_with(options);
        let shared = Shared {
            view: session.share(),
            lent: Lent::of(&session),
            session: Arc::new(RwLock::new(session)),
            ended: AtomicBool::new(false),
            background: binds.registry.background.clone(),
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

    /// Rolls back what was not committed.
    ///
    /// # Cancel safety
    ///
    /// It then goes on in the background.
    pub(crate) async fn end(self) {
        self.scope.shared.ended.store(true, Ordering::SeqCst);
        if let Ok(mut session) = self.scope.shared.session.try_write()
            && let Err(error) = session.abandon().await
        {
            tracing::warn!(%error, "the session of a scope has ended, and its roll-back is not certain");
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
            if let Err(error) = session.discard() {
                tracing::warn!(%error, "the session of a scope is rolled back when its last user is done");
            }
            return;
        }
        // A task that the scope started uses it. Without a runtime nothing goes on, and the last handle rolls back.
        if let Ok(runtime) = Handle::try_current() {
            let session = Arc::clone(session);
            background.spawn_on(
                async move {
                    if let Err(error) = session.write_owned().await.discard() {
                        tracing::warn!(%error, "the session of a scope is rolled back when its last user is done");
                    }
                },
                &runtime,
            );
        }
    }
}
