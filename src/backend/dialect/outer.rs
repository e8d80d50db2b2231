//! A unit as a savepoint in an outer transaction.

use std::future::Future;

use diesel::QueryResult;

use crate::backend::dialect::unit::UnitDialect;
use crate::backend::{PriorState, SavepointStep, Terms};
use crate::commit::Fault;

/// The operations on a unit that is a savepoint in a transaction that Diesel has begun. Its roll-back is that of
/// [`UnitDialect`].
pub trait OuterDialect: UnitDialect {
    /// `true` if the properties of the server must be read before a unit begins within an outer transaction.
    const OUTER_NEEDS_SERVER: bool = false;

    /// Begins a unit as a savepoint in a transaction that Diesel has begun, and leaves the marker in it.
    fn begin_within_outer(
        &mut self,
        terms: &Terms,
    ) -> impl Future<Output = QueryResult<PriorState>> + Send;

    /// Makes sure that the savepoint of a unit within an outer transaction could be released. In a sandbox, also checks
    /// that nothing would prevent a commit.
    fn releasable(&mut self, _: &Terms) -> impl Future<Output = Result<(), Fault>> + Send {
        // An aborted transaction accepts no statement, and an ended one accepts no savepoint.
        async {
            let asked = async {
                self.savepoint(SavepointStep::Set, 0).await?;
                self.savepoint(SavepointStep::Release, 0).await
            };
            asked.await.map_err(Fault::Refused)
        }
    }

    /// Uses up the marker and releases the savepoint of a unit within an outer transaction. Rolls back to the savepoint
    /// if the unit is read-only.
    fn release(&mut self, terms: &Terms) -> impl Future<Output = Result<(), Fault>> + Send;
}
