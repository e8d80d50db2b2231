//! The purpose of a pass of recovery.

use std::time::Duration;

/// The time for which a unit is left to the process that is committing it.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// The purpose of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Look,
    /// Finish the branches that have been prepared for at least this time.
    Finish(Duration),
    /// Finish, for the worker.
    Work,
}

impl Purpose {
    /// Returns the time for which a branch is left to the process that prepared it.
    pub(super) fn grace(self) -> Duration {
        match self {
            Self::Look => Duration::ZERO,
            Self::Finish(grace) => grace,
            Self::Work => GRACE,
        }
    }
}
