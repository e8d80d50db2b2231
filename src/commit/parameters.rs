//! The parameters of one commit.

use std::sync::Arc;

use crate::gid::UnitId;
use crate::trace;

#[derive(Debug)]
pub(crate) struct CommitParameters {
    pub(crate) unit: UnitId,
    pub(crate) namespace: Arc<str>,
    /// The span of the unit, unless it ran no query.
    pub(crate) trace: Option<trace::UnitTrace>,
    /// Writers that cannot commit atomically may commit one after the other.
    pub(crate) best_effort: bool,
    /// In a sandbox, a unit that a commit would refuse is refused as well.
    pub(crate) rehearses: bool,
    /// The faults to inject.
    #[cfg(feature = "testing")]
    pub(crate) faults: Option<crate::commit::FaultPlan>,
}
