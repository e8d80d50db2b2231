//! Sandboxes for the tests of applications.

#[cfg(feature = "testing")]
use std::future::Future;
#[cfg(feature = "testing")]
use std::sync::Arc;

#[cfg(feature = "testing")]
use diesel_async::AsyncConnection;

#[cfg(feature = "testing")]
use crate::backend::{Enclosed, NotEnclosed, Open, Terms};
#[cfg(feature = "testing")]
use crate::commit::Fault;

/// The operations of a sandbox, in which a unit commits nothing.
#[cfg(feature = "testing")]
pub trait SandboxDialect: AsyncConnection + Sized + 'static {
    /// Makes a connection that never commits anything: in a transaction that cannot commit, or on a copy.
    fn enclose(
        self,
        terms: &Terms,
        open: Option<Arc<Open<Self>>>,
    ) -> impl Future<Output = Result<Enclosed<Self>, NotEnclosed>> + Send;

    /// Ends the enclosure. Fails if any change may have been committed.
    fn end_enclosure(&mut self, terms: &Terms) -> impl Future<Output = Result<(), Fault>> + Send;
}

/// The operations of a sandbox: none without the feature `testing`.
#[cfg(not(feature = "testing"))]
pub trait SandboxDialect {}

#[cfg(not(feature = "testing"))]
impl<C> SandboxDialect for C {}
