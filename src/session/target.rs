//! Targets of queries: a session, which finds the bind of a query by its type, or a bind that is named.

use std::any::type_name;
use std::marker::PhantomData;

use diesel::query_builder::QueryId;

use crate::bind::{Access, Bind, Bound, Typed, has_boxed_subquery, is_of_diesel, may_have_text};
use crate::error::Error;
use crate::session::Session;
use crate::session::claim::{AsClaim, Claim};

/// A target that a query `Q` can be run on.
///
/// The compiler infers `Form`, as it does for [`Bound`].
#[diagnostic::on_unimplemented(
    message = "no query can be run on `{Self}`",
    label = "not a session",
    note = "pass a `Session`, `session.on(Bind)`, or the result of `session.connection(Bind)`, each by reference"
)]
pub trait Target<Q, Form = Typed>: Sync + sealed::Sealed {
    /// The bind that the query runs on.
    type Bind: Bind;

    /// Claims the bind for one statement.
    #[doc(hidden)]
    fn claim(
        &self,
    ) -> impl Future<Output = Result<impl AsClaim<<Self::Bind as Bind>::Connection>, Error>> + Send;
}

pub(crate) mod sealed {
    /// Seals [`Target`](super::Target).
    pub trait Sealed {}
}

/// A session with a named bind, for queries whose type does not determine their bind. See [`Session::on`].
#[derive(Debug)]
pub struct On<'s, B> {
    session: &'s Session,
    access: Access,
    bind: PhantomData<fn() -> B>,
}

impl Session {
    /// Names the bind of a query whose type does not determine it: `sql_query`, `select(exists(..))`, set operations.
    ///
    /// Such a query counts as a write, unless [`reading`](On::reading) is called.
    pub fn on<B: Bind>(&self, _: B) -> On<'_, B> {
        On::new(self)
    }
}

impl<'s, B: Bind> On<'s, B> {
    pub(super) fn new(session: &'s Session) -> Self {
        Self {
            session,
            access: Access::Write,
            bind: PhantomData,
        }
    }

    /// Declares that the queries only read. They may run in a read-only unit, and do not make the bind a writer.
    ///
    /// Before the commit, a server that can report writes is asked whether they wrote, unless the bind is set to
    /// [`trust_reads`](crate::BindOptions::trust_reads).
    #[must_use]
    pub fn reading(mut self) -> Self {
        self.access = Access::Read;
        self
    }
}

impl sealed::Sealed for Session {}
impl<B> sealed::Sealed for On<'_, B> {}
impl<T: sealed::Sealed> sealed::Sealed for &T {}
impl<T: sealed::Sealed> sealed::Sealed for &mut T {}

impl<Form, Q: Bound<Form> + QueryId> Target<Q, Form> for Session {
    type Bind = Q::Bind;

    async fn claim(&self) -> Result<impl AsClaim<<Q::Bind as Bind>::Connection>, Error> {
        self.open::<Q, Form>().await
    }
}

impl Session {
    async fn open<Q: Bound<Form> + QueryId, Form>(
        &self,
    ) -> Result<Claim<'_, <Q::Bind as Bind>::Connection>, Error> {
        let name = type_name::<Q>();
        let may_have_text = !Q::HAS_STATIC_QUERY_ID && may_have_text(name);
        if Q::reads_unknown() || (may_have_text && has_boxed_subquery(name)) {
            return Err(Error::UnknownSource { bind: Q::Bind::KEY });
        }
        let mut claim = self.claim_bind::<Q::Bind>(Q::access()).await?;
        if may_have_text {
            claim.may_leave_something();
        }
        if !is_of_diesel(name) {
            claim.describe::<Q>();
        }
        Ok(claim)
    }
}

impl<B: Bind> On<'_, B> {
    async fn open<Q: QueryId>(&self) -> Result<Claim<'_, B::Connection>, Error> {
        let mut claim = self.session.claim_bind::<B>(self.access).await?;
        claim.describe::<Q>();
        Ok(claim)
    }
}

impl<B: Bind, Q: QueryId> Target<Q> for On<'_, B> {
    type Bind = B;

    async fn claim(&self) -> Result<impl AsClaim<B::Connection>, Error> {
        self.open::<Q>().await
    }
}

/// Accepts `load(&session)` where `session` is already a reference.
impl<Q, Form, T: Target<Q, Form>> Target<Q, Form> for &T {
    type Bind = T::Bind;

    async fn claim(&self) -> Result<impl AsClaim<<T::Bind as Bind>::Connection>, Error> {
        T::claim(self).await
    }
}

/// Accepts `load(&session)` where `session` is an exclusive reference.
impl<Q, Form, T: Target<Q, Form>> Target<Q, Form> for &mut T {
    type Bind = T::Bind;

    async fn claim(&self) -> Result<impl AsClaim<<T::Bind as Bind>::Connection>, Error> {
        T::claim(self).await
    }
}
