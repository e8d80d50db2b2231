//! What observers hear of a pass: how it ended, what it could not look at, finished and left in doubt.

use tracing::Instrument as _;

use crate::recovery::database::Scope;
use crate::recovery::pass;
use crate::recovery::purpose::Purpose;
use crate::recovery::report::{Left, RecoveryReport};
use crate::trace::recovery::{Counts, PassTrace};
use crate::trace::{self, PassEnds};

/// As [`pass::recover`].
pub(crate) async fn recover(scope: &Scope, purpose: Purpose) -> RecoveryReport {
    let word = match purpose {
        Purpose::Look => "look",
        Purpose::Finish(_) => "finish",
        Purpose::Work => "worker",
    };
    let trace = PassTrace::begin(&scope.namespace, word);
    let recovery = pass::recover(scope, purpose).instrument(trace.span()).await;
    let ends = ends(&recovery);
    trace.ended(
        ends,
        Counts {
            recovered: recovery.recovered.len(),
            in_doubt: recovery.in_doubt.len(),
            unreachable: recovery.unreachable.len(),
            forgotten: recovery.forgotten,
        },
    );
    // Who only looks sees units in the middle of their commit as well.
    if purpose != Purpose::Look {
        measure(scope, &recovery);
        trace::passed(ends);
    }
    recovery
}

fn ends(recovery: &RecoveryReport) -> PassEnds {
    let mut left = recovery.in_doubt.iter().map(|branch| &branch.left);
    let was_refused = |left: &Left| matches!(left, Left::Holder(_) | Left::Unfinished(..));
    if !recovery.unreachable.is_empty() || left.clone().any(was_refused) {
        PassEnds::Failed
    } else if left.any(is_in_doubt) {
        PassEnds::InDoubt
    } else {
        PassEnds::Complete
    }
}

/// Whether it is more than a unit whose process is about to finish it.
fn is_in_doubt(left: &Left) -> bool {
    !matches!(left, Left::Young)
}

/// What is in doubt on each bind that was seen. Of the others nobody knows more than before.
fn measure(scope: &Scope, recovery: &RecoveryReport) {
    for database in &scope.databases {
        let bind = database.key();
        if !recovery.unreachable.iter().any(|(key, _)| *key == bind) {
            let in_doubt = recovery.in_doubt.iter();
            let in_doubt =
                in_doubt.filter(|branch| branch.bind == bind && is_in_doubt(&branch.left));
            trace::in_doubt(bind, in_doubt.count());
        }
    }
}
