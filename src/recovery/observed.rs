//! The observers of a pass: how it ended, and how many branches it finished or left in doubt.

use tracing::Instrument as _;

use crate::recovery::database::RecoveryScope;
use crate::recovery::pass;
use crate::recovery::purpose::Purpose;
use crate::recovery::report::{InDoubtReason, RecoveryReport};
use crate::trace::recovery::{Counts, PassTrace};
use crate::trace::{self, PassResult};

/// Runs [`pass::recover`] within the span of the pass.
pub(crate) async fn recover(scope: &RecoveryScope, purpose: Purpose) -> RecoveryReport {
    let word = match purpose {
        Purpose::Look => "look",
        Purpose::Finish(_) => "finish",
        Purpose::Work => "worker",
    };
    let trace = PassTrace::begin(&scope.namespace, word);
    let recovery = pass::recover(scope, purpose).instrument(trace.span()).await;
    let result = pass_result(&recovery);
    trace.ended(
        result,
        Counts {
            recovered: recovery.recovered.len(),
            in_doubt: recovery.in_doubt.len(),
            unreachable: recovery.unreachable.len(),
            forgotten: recovery.forgotten,
        },
    );
    // A pass that only looks also sees units in the middle of their commit.
    if purpose != Purpose::Look {
        measure(scope, &recovery);
        trace::passed(result);
    }
    recovery
}

fn pass_result(recovery: &RecoveryReport) -> PassResult {
    let mut left = recovery.in_doubt.iter().map(|branch| &branch.reason);
    let was_refused = |left: &InDoubtReason| {
        matches!(
            left,
            InDoubtReason::Holder(_) | InDoubtReason::Unfinished(..)
        )
    };
    if !recovery.unreachable.is_empty() || left.clone().any(was_refused) {
        PassResult::Failed
    } else if left.any(is_in_doubt) {
        PassResult::InDoubt
    } else {
        PassResult::Complete
    }
}

/// Returns whether the branch is more than a young one, which its own process is about to finish.
fn is_in_doubt(left: &InDoubtReason) -> bool {
    !matches!(left, InDoubtReason::Young)
}

/// Sets the number of branches in doubt of each bind that was read. The numbers of other binds stay.
fn measure(scope: &RecoveryScope, recovery: &RecoveryReport) {
    for database in &scope.databases {
        let bind = database.key();
        if !recovery.unreachable.iter().any(|(key, _)| *key == bind) {
            let in_doubt = recovery.in_doubt.iter();
            let in_doubt =
                in_doubt.filter(|branch| branch.bind == bind && is_in_doubt(&branch.reason));
            trace::in_doubt(bind, in_doubt.count());
        }
    }
}
