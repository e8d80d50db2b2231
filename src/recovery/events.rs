//! The events of a pass: databases that could not be read, branches that were finished or left in doubt.

use tracing::Span;

use crate::commit::Fault;
use crate::recovery::database::{Database, Listing};
use crate::recovery::judge::OLD;
use crate::recovery::purpose::Purpose;
use crate::recovery::report::{InDoubtBranch, Recovered};
use crate::trace::recovery::{BranchTrace, Done};
use crate::trace::{self, UnitResult};

/// Notes the properties of a server, if the server was asked for them.
pub(super) fn note_server(span: &Span, database: &dyn Database) {
    let server = database.server();
    let attributes = server
        .as_ref()
        .map(|server| server.attributes(database.key()));
    trace::recovery::note_server(span, attributes);
}

/// Notes the result of listing one database.
pub(super) fn note_listing(
    span: &Span,
    database: &dyn Database,
    listed: &Result<Listing, Fault>,
    purpose: Purpose,
) {
    note_server(span, database);
    match listed {
        Ok(Listing { branches, .. }) => {
            span.record("listed", branches.len());
        }
        Err(fault) => {
            trace::recovery::note_error(span, fault);
            // A pass that only looks returns the fault in its report.
            if purpose != Purpose::Look {
                tracing::warn!(
                    parent: span,
                    bind = database.key(),
                    error = fault as &dyn std::error::Error,
                    "a database could not be read: its branches in doubt wait for a later pass"
                );
            }
        }
    }
}

/// Reports a finished branch. If it was not listed any more, another process may have finished it.
pub(super) fn report_finished(trace: &BranchTrace, recovered: &Recovered, was_there: bool) {
    let result = UnitResult::from(recovered.outcome);
    let Recovered { bind, gid, .. } = recovered;
    if was_there {
        trace.done(result, Done::Finished);
        tracing::info!(bind, %gid, outcome = result.word(), "finished a unit that was in doubt");
    } else {
        trace.done(result, Done::Gone);
        tracing::debug!(bind, %gid, outcome = result.word(), "another process finished a unit that was in doubt");
    }
}

/// Reports a branch that stays in doubt. An old one is a warning.
pub(super) fn report_in_doubt(branch: &InDoubtBranch) {
    let gid = branch.gid.as_ref().map(tracing::field::display);
    let age = branch.age.map(|age| age.as_secs());
    let error = &branch.reason as &dyn std::error::Error;
    let (bind, branch_name) = (branch.bind, &*branch.name);
    // A branch of unknown age has no row that names its holder: it does not go away by itself.
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
