//! Force: an operator decides in the place of a holder that is lost for good.

use diesel_binds_derive::ErrorDebug;
use tracing::Instrument as _;

use crate::backend::Reach;
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, Gid};
use crate::recovery::database::{Database, Scope};
use crate::recovery::observed::tell_done;
use crate::recovery::report::{InDoubtBranch, Left, Recovered, Recovery};
use crate::trace;
use crate::trace::recovery::BranchTrace;

/// Why a unit was not forced. Unless it says otherwise, nothing was changed.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum ForceError {
    /// There is no reason to record.
    #[error("a forced outcome needs a reason, which is recorded with it")]
    NoReason,
    /// The unit belongs to another application.
    #[error("the unit belongs to the application `{namespace}`")]
    ForeignNamespace {
        /// That application.
        namespace: String,
    },
    /// The holder answers, and is the database that was to decide: recovery finishes the unit as it has recorded.
    #[error(
        "`{holder}` answers and is the database that decides: `recover()` finishes the unit as that has it"
    )]
    HolderAnswers {
        /// The key of the holder.
        holder: String,
        /// What it has recorded.
        recorded: Option<Outcome>,
    },
    /// The holder can be reached, and it cannot be told whether it is the database that was to decide. A database that
    /// took its place has to be installed first.
    #[error(
        "`{holder}` can be reached, and may be the database that decides: make it answer, or install the tables where \
         it was replaced"
    )]
    HolderUnclear {
        /// The key of the holder.
        holder: String,
        /// Why it could not be asked.
        source: Fault,
    },
    /// A bind could not be looked at: it may have a branch of the unit, or another outcome recorded. What was recorded
    /// on others stays recorded; nothing was finished.
    #[error(
        "`{bind}` could not be looked at or written to, and may have a part of the unit; nothing was finished"
    )]
    Unreachable {
        /// The key of the bind.
        bind: &'static str,
        /// Why.
        source: Fault,
    },
    /// A branch of the unit cannot be finished from here.
    #[error("the branch on `{bind}` cannot be finished from here; nothing was finished")]
    OutOfReach {
        /// The key of the bind.
        bind: &'static str,
        /// Why.
        source: Left,
    },
    /// Somebody has forced the other outcome before. Nothing was finished now.
    #[error(
        "`{bind}` has it recorded that the unit was forced to {recorded:?} before: only that can be done to the rest of it"
    )]
    Contradicts {
        /// The key of the bind.
        bind: &'static str,
        /// The outcome recorded there.
        recorded: Outcome,
    },
    /// No bind lists a branch of the unit.
    #[error("no bind lists a branch of the unit: there is nothing to force")]
    NothingListed,
}

/// Finishes all branches of a unit as somebody says, and records that before on each database that has one.
pub(crate) async fn force(
    scope: &Scope,
    gid: &Gid,
    outcome: Outcome,
    reason: &str,
) -> Result<Recovery, ForceError> {
    let span = trace::recovery::force(gid, outcome.into(), reason);
    let forced = carry_out(scope, gid, outcome, reason);
    let forced = forced.instrument(span.clone()).await;
    if let Err(error) = &forced {
        trace::recovery::note_error(&span, error);
    }
    forced
}

async fn carry_out(
    scope: &Scope,
    gid: &Gid,
    outcome: Outcome,
    reason: &str,
) -> Result<Recovery, ForceError> {
    if reason.trim().is_empty() {
        return Err(ForceError::NoReason);
    }
    if gid.namespace() != &*scope.namespace {
        let namespace = gid.namespace().into();
        return Err(ForceError::ForeignNamespace { namespace });
    }
    if let Some(holder) = scope.by_key(gid.holder()) {
        refuse_if_it_may_decide(holder, gid).await?;
    }
    let branches = look(scope, gid, outcome).await?;
    // In one order, so that of two who say different things one stops before anything is finished.
    for (database, _) in &branches {
        let bind = database.key();
        let recorded = database.force(gid, outcome, reason).await;
        let recorded = recorded.map_err(|source| ForceError::Unreachable { bind, source })?;
        if recorded != outcome {
            return Err(ForceError::Contradicts { bind, recorded });
        }
    }
    tracing::warn!(%gid, ?outcome, reason, "a unit is finished by force");
    // Cancellation safety: what is recorded stays, and the next call with the same outcome does the rest.
    let mut recovery = Recovery::default();
    for (database, branch) in branches {
        let bind = database.key();
        let trace = BranchTrace::begin(bind, gid);
        let finishing = database.finish(&branch, outcome);
        match finishing.instrument(trace.span()).await {
            Ok(was_there) => {
                let recovered = Recovered {
                    bind,
                    gid: gid.clone(),
                    outcome,
                };
                trace
                    .span()
                    .in_scope(|| tell_done(&trace, &recovered, was_there));
                recovery.recovered.push(recovered);
            }
            Err(fault) => {
                let left = Left::Unfinished(outcome, fault.into());
                trace.left(&left);
                recovery.in_doubt.push(InDoubtBranch {
                    bind,
                    name: branch.to_string(),
                    unit: Some(gid.unit()),
                    gid: Some(gid.clone()),
                    age: None,
                    left,
                });
            }
        }
    }
    Ok(recovery)
}

async fn refuse_if_it_may_decide(holder: &dyn Database, gid: &Gid) -> Result<(), ForceError> {
    match holder.recorded(gid).await {
        Ok(recorded) => Err(ForceError::HolderAnswers {
            holder: gid.holder().into(),
            recorded,
        }),
        // It is gone, another database is in its place, or it does not know any more.
        Err(Fault::Connect(_) | Fault::TimedOut | Fault::Replaced | Fault::Forgotten) => Ok(()),
        Err(source) => Err(ForceError::HolderUnclear {
            holder: gid.holder().into(),
            source,
        }),
    }
}

/// All branches of the unit, by the keys of their binds. Every bind but the holder must be seen.
async fn look<'a>(
    scope: &'a Scope,
    gid: &Gid,
    outcome: Outcome,
) -> Result<Vec<(&'a dyn Database, Branch)>, ForceError> {
    let mut databases: Vec<&dyn Database> = scope.databases.iter().map(AsRef::as_ref).collect();
    databases.retain(|database| database.key() != gid.holder());
    databases.sort_by_key(|database| database.key());
    let mut branches = Vec::new();
    for database in databases {
        let bind = database.key();
        let unreachable = |source| ForceError::Unreachable { bind, source };
        match database.forced(gid).await {
            Ok(Some(recorded)) if recorded != outcome => {
                return Err(ForceError::Contradicts { bind, recorded });
            }
            // Where our tables are missing, no unit of several writers was prepared either.
            Ok(_) | Err(Fault::NotInstalled(_)) => {}
            Err(source) => return Err(unreachable(source)),
        }
        for found in database.branches().await.map_err(unreachable)? {
            let Some(branch) = found.branch.filter(|branch| branch.gid == *gid) else {
                continue;
            };
            let source = match found.reach {
                Reach::Here => {
                    branches.push((database, branch));
                    continue;
                }
                // That of another bind.
                Reach::OtherDatabase(_) if branch.bind != bind => continue,
                Reach::OtherDatabase(name) => Left::OtherDatabase(name),
                Reach::OtherRole(name) => Left::OtherRole(name),
                Reach::Lost => Left::NameLost,
            };
            return Err(ForceError::OutOfReach { bind, source });
        }
    }
    if branches.is_empty() {
        return Err(ForceError::NothingListed);
    }
    Ok(branches)
}
