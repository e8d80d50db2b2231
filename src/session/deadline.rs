//! The deadline of a unit, and waits that end at it.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::error::{Error, Waiting};

/// The time by which a unit must be done, if there is one.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// Creates the deadline that is `time` from now, or none.
    pub(super) fn within(time: Option<Duration>) -> Self {
        Self(time.and_then(|time| Instant::now().checked_add(time)))
    }

    /// Waits for `work` until the deadline at most. After the deadline it does not start `work`, which might otherwise
    /// still complete at once.
    pub(super) async fn bound<T>(
        self,
        bind: &'static str,
        waiting_for: Waiting,
        work: impl Future<Output = T>,
    ) -> Result<T, Error> {
        match self.0 {
            None => Ok(work.await),
            Some(deadline) if Instant::now() >= deadline => {
                Err(Error::DeadlineExceeded { bind, waiting_for })
            }
            Some(deadline) => timeout_at(deadline, work)
                .await
                .map_err(|_| Error::DeadlineExceeded { bind, waiting_for }),
        }
    }

    pub(super) fn left(self) -> Option<Duration> {
        self.0
            .map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    pub(super) fn has_passed(self) -> bool {
        self.left().is_some_and(|left| left.is_zero())
    }
}
