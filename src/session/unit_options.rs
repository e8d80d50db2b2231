//! The options of each unit of a session.

use std::time::Duration;

use crate::backend::Settings;
use crate::session::outer::OuterBind;

/// The options of each unit of a session, as [`SessionOptions`](crate::SessionOptions) sets them.
#[derive(Clone, Debug, Default)]
pub(super) struct UnitOptions {
    pub(super) read_only: bool,
    pub(super) deadline: Option<Duration>,
    /// The original deadline, if `deadline` is only the rest of it. Each hook after the end may take this long.
    pub(super) whole_deadline: Option<Duration>,
    pub(super) best_effort: bool,
    pub(super) settings: Settings,
    pub(super) outer: Vec<OuterBind>,
    /// `true` if statements record conflicts, which another attempt may avoid.
    pub(super) notes_conflicts: bool,
    #[cfg(feature = "testing")]
    pub(super) faults: Option<crate::commit::FaultPlan>,
}

impl UnitOptions {
    /// Returns how long each hook after the end of a unit may take.
    pub(super) fn hooks_within(&self) -> Option<Duration> {
        self.whole_deadline.or(self.deadline)
    }
}
