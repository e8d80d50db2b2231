//! What holds for each unit of a session.

use std::time::Duration;

use crate::backend::Settings;
use crate::session::join::JoinedBind;

/// What holds for each unit of a session, as [`SessionOptions`](crate::SessionOptions) said it.
#[derive(Clone, Debug, Default)]
pub(super) struct UnitOptions {
    pub(super) read_only: bool,
    pub(super) deadline: Option<Duration>,
    /// The deadline as it was said, where less than that is left by now: what each hook after the end may take.
    pub(super) whole_deadline: Option<Duration>,
    pub(super) best_effort: bool,
    pub(super) settings: Settings,
    pub(super) joined: Vec<JoinedBind>,
    /// Whether statements note what may get through in another attempt.
    pub(super) notes_conflicts: bool,
    #[cfg(feature = "testing")]
    pub(super) faults: Option<crate::commit::FaultPlan>,
}

impl UnitOptions {
    /// How long each hook after the end of a unit may take.
    pub(super) fn hooks_within(&self) -> Option<Duration> {
        self.whole_deadline.or(self.deadline)
    }
}
