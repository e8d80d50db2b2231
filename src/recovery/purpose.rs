//! What a pass of recovery is for.

use std::time::Duration;

/// How long a unit is left to the process that is committing it.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Look,
    /// Finish what has been prepared for so long.
    Finish(Duration),
    /// The same, for the worker.
    Work,
}

impl Purpose {
    /// How long a branch is left to the process that prepared it.
    pub(super) fn grace(self) -> Duration {
        match self {
            Self::Look => Duration::ZERO,
            Self::Finish(grace) => grace,
            Self::Work => GRACE,
        }
    }
}
