//! Queries on a scope: its session cannot end or be locked while they run.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use diesel::QueryResult;
use diesel::query_builder::QueryId;
use tokio::sync::RwLockReadGuard;

use crate::backend::KeptWrites;
use crate::bind::{Bind, Bound};
use crate::error::Error;
use crate::scope::handle::Scope;
use crate::session::{AsClaim, On, Session, Target, sealed};

impl Scope {
    /// Names the bind of a query whose type does not have one, like [`Session::on`].
    pub fn on<B: Bind>(&self, bind: B) -> ScopeOn<'_, B> {
        ScopeOn {
            scope: self,
            on: self.view().on(bind),
        }
    }
}

/// A scope, for queries whose types do not have a bind. See [`Scope::on`].
#[derive(Debug)]
pub struct ScopeOn<'s, B> {
    scope: &'s Scope,
    on: On<'s, B>,
}

impl<'s, B: Bind> ScopeOn<'s, B> {
    /// States that the queries only read, like [`On::reading`].
    #[must_use]
    pub fn reading(mut self) -> Self {
        self.on = self.on.reading();
        self
    }
}

/// A statement, and the right to use the session until it is dropped.
struct Shared<'s, S> {
    /// Dropped first, so that the next user of the session finds none of its binds in use.
    claim: S,
    _session: RwLockReadGuard<'s, Session>,
}

impl<C, S: AsClaim<C>> AsClaim<C> for Shared<'_, S> {
    fn deadline(&self) -> crate::session::Deadline {
        self.claim.deadline()
    }

    fn key(&self) -> &'static str {
        self.claim.key()
    }

    fn start(&mut self) -> Result<&mut C, Error> {
        self.claim.start()
    }

    fn kept_writes(&mut self) -> Option<Arc<KeptWrites>> {
        self.claim.kept_writes()
    }

    fn start_rows(&mut self) -> Result<(&mut C, &AtomicBool), Error> {
        self.claim.start_rows()
    }

    async fn complete<T: Send>(
        &mut self,
        replied: Result<QueryResult<T>, Error>,
    ) -> Result<T, Error> {
        self.claim.complete(replied).await
    }

    fn hold(&mut self) {
        self.claim.hold();
    }
}

impl sealed::Sealed for Scope {}
impl<B> sealed::Sealed for ScopeOn<'_, B> {}

impl<Form, Q: Bound<Form> + QueryId> Target<Q, Form> for Scope {
    type Bind = Q::Bind;

    async fn claim(&self) -> Result<impl AsClaim<<Q::Bind as Bind>::Connection>, Error> {
        let (view, session) = self.enter()?;
        Ok(Shared {
            claim: Target::<Q, Form>::claim(view).await?,
            _session: session,
        })
    }
}

impl<B: Bind, Q: QueryId> Target<Q> for ScopeOn<'_, B> {
    type Bind = B;

    async fn claim(&self) -> Result<impl AsClaim<B::Connection>, Error> {
        let (_, session) = self.scope.enter()?;
        Ok(Shared {
            claim: Target::<Q>::claim(&self.on).await?,
            _session: session,
        })
    }
}
