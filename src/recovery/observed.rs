//! What observers hear of a pass: how it ended, what it could not look at, finished and left in doubt.

use tracing::{Instrument as _, Span};

use crate::backend::Found;
use crate::commit::{Fault, Outcome};
use crate::recovery::database::{Database, Scope};
use crate::recovery::judge::OLD;
use crate::recovery::pass::{self, Purpose};
use crate::recovery::report::{InDoubtBranch, Left, Recovered, Recovery};
use crate::trace::recovery::{BranchTrace, Counts, Done, PassEnds, PassTrace};
use crate::trace::{self, Ends};

/// As [`pass::recover`].
pub(crate) async fn recover(scope: &Scope, purpose: Purpose) -> Recovery {
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

fn ends(recovery: &Recovery) -> PassEnds {
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
fn measure(scope: &Scope, recovery: &Recovery) {
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

/// What the look at one database showed.
pub(super) fn note_look(
    span: &Span,
    database: &dyn Database,
    listed: &Result<Vec<Found>, Fault>,
    purpose: Purpose,
) {
    trace::recovery::note_place(span, database.place());
    match listed {
        Ok(found) => {
            span.record("listed", found.len());
        }
        Err(fault) => {
            trace::recovery::note_error(span, fault);
            // Who looks is told.
            if purpose != Purpose::Look {
                tracing::warn!(
                    parent: span,
                    bind = database.key(),
                    error = fault as &dyn std::error::Error,
                    "a bind could not be looked at: what is in doubt there stays so"
                );
            }
        }
    }
}

/// A branch that is not there any more: somebody else may have finished it.
pub(super) fn tell_done(trace: &BranchTrace, recovered: &Recovered, was_there: bool) {
    let ends = Ends::from(recovered.outcome);
    let Recovered { bind, gid, .. } = recovered;
    if was_there {
        trace.done(ends, Done::Finished);
        tracing::info!(bind, %gid, outcome = ends.word(), "finished a unit that was in doubt");
    } else {
        trace.done(ends, Done::Gone);
        tracing::debug!(bind, %gid, outcome = ends.word(), "somebody else finished a unit that was in doubt");
    }
}

/// A branch that stays in doubt. When it is old, that is a warning.
pub(super) fn tell_left(branch: &InDoubtBranch) {
    let gid = branch.gid.as_ref().map(tracing::field::display);
    let age = branch.age.map(|age| age.as_secs());
    let error = &branch.left as &dyn std::error::Error;
    let (bind, branch_name) = (branch.bind, &*branch.name);
    // Of unknown age is one that nothing places: it does not go away by itself.
    if branch.age.is_none_or(|age| age >= OLD) {
        tracing::warn!(
            bind,
            gid,
            branch = branch_name,
            age,
            error,
            "a unit is in doubt and keeps its locks"
        );
    } else {
        tracing::debug!(
            bind,
            gid,
            branch = branch_name,
            age,
            error,
            "a unit is in doubt"
        );
    }
}

impl From<Outcome> for Ends {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Commit => Self::Committed,
            Outcome::Abort => Self::RolledBack,
        }
    }
}
