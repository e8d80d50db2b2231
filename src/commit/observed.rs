//! The end of a unit, within its span: reports to observers how the unit ended.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, TryFutureExt as _};
use tracing::Instrument as _;

use crate::commit::commit_error::CommitError;
use crate::commit::coordinator;
use crate::commit::outcome::Commit;
use crate::commit::parameters::CommitParameters;
use crate::commit::participant::Participant;
use crate::commit::protocol::Outcome;
use crate::commit::{outer, without_protocol};
use crate::gid::Gid;
use crate::trace::{UnitEndTrace, UnitResult, UnitTrace};

/// Runs [`coordinator::commit`] within the span of the unit, or [`without_protocol::best_effort`] if the unit cannot
/// commit atomically and need not.
pub(crate) async fn commit(
    mut parameters: CommitParameters,
    participants: Vec<Box<dyn Participant>>,
) -> Result<Commit, CommitError> {
    let trace = parameters.trace.take();
    let committing = if parameters.best_effort && without_protocol::cannot_be_atomic(&participants)
    {
        without_protocol::best_effort(parameters, participants)
            .map_ok(Commit::Committed)
            .boxed()
    } else {
        coordinator::commit(parameters, participants)
            .map_ok(Commit::Committed)
            .boxed()
    };
    observed(trace, committing).await
}

/// Runs [`outer::release`] within the span of the unit.
pub(crate) async fn release(
    mut parameters: CommitParameters,
    participants: Vec<Box<dyn Participant>>,
) -> Result<Commit, CommitError> {
    let trace = parameters.trace.take();
    let releasing = outer::release(parameters, participants).map_ok(Commit::Released);
    observed(trace, releasing.boxed()).await
}

/// Runs [`without_protocol::roll_back`] within the span of the unit.
pub(crate) async fn roll_back(
    trace: Option<UnitTrace>,
    participants: Vec<Box<dyn Participant>>,
) -> Result<(), CommitError> {
    let rolling_back = without_protocol::roll_back(participants);
    // A unit without a query has no trace.
    let Some(ending) = trace.map(|trace| trace.ending(true)) else {
        return rolling_back.await;
    };
    let rolled_back = rolling_back.instrument(ending.span()).await;
    match &rolled_back {
        Ok(()) => ending.ended(UnitResult::RolledBack, None, None),
        Err(error) => failed(ending, error),
    }
    rolled_back
}

/// The future is boxed because it is large, and would be moved several times.
async fn observed(
    trace: Option<UnitTrace>,
    committing: BoxFuture<'_, Result<Commit, CommitError>>,
) -> Result<Commit, CommitError> {
    let Some(ending) = trace.map(|trace| trace.ending(false)) else {
        return committing.await;
    };
    let ended = committing.instrument(ending.span()).await;
    note(ending, &ended);
    ended
}

fn note(ending: UnitEndTrace, ended: &Result<Commit, CommitError>) {
    match ended {
        Ok(Commit::Committed(committed)) => {
            ending.ended(UnitResult::Committed, committed.gid(), None);
        }
        Ok(Commit::Released(_)) => ending.ended(UnitResult::Released, None, None),
        Err(error) => failed(ending, error),
    }
}

fn failed(ending: UnitEndTrace, error: &CommitError) {
    let span = ending.span();
    let (result, gid, word) = describe(error);
    ending.ended(result, gid, Some(word));
    if error.is_in_doubt() {
        tracing::error!(
            target: "diesel_binds::commit",
            parent: &span,
            gid = gid.map(tracing::field::display),
            bind = error.bind(),
            error = error as &dyn std::error::Error,
            "the outcome of the unit is not known"
        );
    }
}

fn describe(error: &CommitError) -> (UnitResult, Option<&Gid>, &'static str) {
    match error {
        CommitError::InDoubt { gid, .. } => (UnitResult::InDoubt, Some(gid), "InDoubt"),
        CommitError::Unknown { .. } => (UnitResult::Unknown, None, "Unknown"),
        CommitError::Interrupted { .. } => (UnitResult::Unknown, None, "Interrupted"),
        CommitError::Partial(_) => (UnitResult::Partial, None, "Partial"),
        CommitError::TransactionEnded { .. } => (UnitResult::Unknown, None, "TransactionEnded"),
        CommitError::NotAtomic { .. } => (UnitResult::RolledBack, None, "NotAtomic"),
        _ => (UnitResult::RolledBack, None, "RolledBack"),
    }
}

impl From<Outcome> for UnitResult {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Committed => Self::Committed,
            Outcome::RolledBack => Self::RolledBack,
        }
    }
}
