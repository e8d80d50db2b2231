//! Force: an operator decides in the place of a holder that is lost for good.
//!
//! Two operators, in processes with different binds, cannot finish a unit both ways. Who forces must see every part: each
//! branch says how many there are at most. And each records what it forces before it finishes anything, in one order. At
//! the first part the unique key of `diesel_binds_forced` lets one of them through.

use diesel_binds_derive::ErrorDebug;
use tracing::Instrument as _;

use crate::backend::{Reach, Whose};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, Gid};
use crate::recovery::database::{Database, Listing, Scope};
use crate::recovery::events::tell_done;
use crate::recovery::report::{InDoubtBranch, Left, Recovered, RecoveryReport};
use crate::trace;
use crate::trace::recovery::BranchTrace;

/// What an operator knows of a unit that is forced, beside what can be seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForceOptions {
    parts_gone: u16,
    holder_gone: bool,
}

impl ForceOptions {
    /// Nothing: every part of the unit must be seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that so many parts of the unit are prepared on no database: they were finished **as the unit is now forced**,
    /// were never prepared (a bind that only read, or one where the process died before), or their databases are lost as
    /// well.
    ///
    /// Nobody can check that. Where such a part was finished otherwise, or is still prepared where this process has no
    /// bind, the unit is torn. Refused unless exactly so many are missing. Defaults to none.
    #[must_use]
    pub fn parts_are_gone(mut self, parts: u16) -> Self {
        self.parts_gone = parts;
        self
    }

    /// Says that the holder is lost for good, in a process that has no bind of its key and so cannot ask it.
    ///
    /// Nobody can check that. Where the holder is well and has decided otherwise, or will, the unit is torn. Defaults to off.
    #[must_use]
    pub fn holder_is_gone(mut self) -> Self {
        self.holder_gone = true;
        self
    }
}

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
    /// This process has no bind of the holder's key, and cannot ask it whether it decides. Nothing was finished.
    #[error(
        "this process has no bind `{holder}`, which decides: register it wherever it was, or say that it is gone \
         (`holder_is_gone`, `--holder-is-gone`), if it is"
    )]
    UnknownHolder {
        /// The key of the holder.
        holder: String,
    },
    /// The holder answers, and is the database that was to decide: recovery finishes the unit as it has recorded.
    #[error(
        "`{holder}` answers and is the database that decides: `binds.recovery().run()` finishes the unit as that has it"
    )]
    HolderAnswers {
        /// The key of the holder.
        holder: String,
        /// What it has recorded.
        recorded: Option<Outcome>,
    },
    /// The holder answers, is the database that was to decide, and has no decision of the unit: what is prepared was not
    /// committed there, and the coordinator may be rolling it back. Roll it back.
    #[error(
        "`{holder}` answers and has no decision of the unit: it can only be rolled back, or finished by hand where a \
         database was restored"
    )]
    NotDecided {
        /// The key of the holder.
        holder: String,
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
    /// A part of the unit is neither prepared nor recorded as forced on any bind of this process: another process may
    /// have its bind, and force it the other way.
    #[error(
        "{seen} of up to {parts} prepared parts of the unit are seen; nothing was finished: force it where all have binds, \
         or say that {} are gone, if they are", parts - seen
    )]
    PartsMissing {
        /// How many are seen.
        seen: u16,
        /// How many there are at most: a bind that only read counts where it was prepared beside the question for that.
        parts: u16,
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
    options: ForceOptions,
) -> Result<RecoveryReport, ForceError> {
    let span = trace::recovery::force(gid, outcome.into(), reason);
    let forced = carry_out(scope, gid, outcome, reason, options);
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
    options: ForceOptions,
) -> Result<RecoveryReport, ForceError> {
    if reason.trim().is_empty() {
        return Err(ForceError::NoReason);
    }
    if gid.namespace() != &*scope.namespace {
        let namespace = gid.namespace().into();
        return Err(ForceError::ForeignNamespace { namespace });
    }
    let mut forgetful = None;
    let holder = scope.by_key(gid.holder());
    if let Some(holder) = holder
        && has_forgotten(holder, gid).await?
    {
        // Its records are only deleted when all parts have finished, so nothing of it was committed. A coordinator that
        // lives may roll back one part while the operator commits another.
        if outcome == Outcome::Committed {
            let holder = gid.holder().into();
            return Err(ForceError::NotDecided { holder });
        }
        forgetful = Some(holder);
    }
    let (branches, was_forced) = look(scope, gid, outcome).await?;
    if !was_forced {
        if holder.is_none() && !options.holder_gone {
            let holder = gid.holder().into();
            return Err(ForceError::UnknownHolder { holder });
        }
        refuse_unless_complete(&branches, options)?;
    }
    if let Some(holder) = forgetful {
        displace(holder, gid).await?;
    }
    // In one order, so that of two who say different things one stops before anything is finished.
    for (database, listed_by, _) in &branches {
        let bind = database.key();
        let recorded = database.force(gid, outcome, reason, listed_by).await;
        let recorded = recorded.map_err(|source| ForceError::Unreachable { bind, source })?;
        if recorded != outcome {
            return Err(ForceError::Contradicts { bind, recorded });
        }
    }
    tracing::warn!(%gid, %outcome, reason, "a unit is finished by force");
    // Cancellation safety: what is recorded stays, and the next call with the same outcome does the rest.
    let mut recovery = RecoveryReport::default();
    for (database, listed_by, branch) in branches {
        let bind = database.key();
        let trace = BranchTrace::begin(bind, gid);
        let finishing = database.finish(&branch, outcome, &listed_by);
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

/// A branch of the unit, with the bind that listed it, and the database that did.
type Part<'a> = (&'a dyn Database, Whose, Branch);

/// Whether the holder is there and has forgotten the unit. Refuses if it may decide.
async fn has_forgotten(holder: &dyn Database, gid: &Gid) -> Result<bool, ForceError> {
    match holder.recorded(gid).await {
        Ok(recorded) => Err(answers(gid, recorded)),
        // Its coordinator may still live, and has not seen that.
        Err(Fault::Forgotten | Fault::Forced) => Ok(true),
        // It is gone, or another database is in its place.
        Err(Fault::Connect(_) | Fault::TimedOut | Fault::Replaced) => Ok(false),
        Err(source) => Err(unclear(gid, source)),
    }
}

/// Takes the place of a holder that has forgotten the unit. A coordinator that still decides is kept out; one that has
/// decided is right.
async fn displace(holder: &dyn Database, gid: &Gid) -> Result<(), ForceError> {
    match holder.give_over(gid).await {
        Ok(None) => Ok(()),
        Ok(recorded) => Err(answers(gid, recorded)),
        Err(source) => Err(unclear(gid, source)),
    }
}

fn answers(gid: &Gid, recorded: Option<Outcome>) -> ForceError {
    ForceError::HolderAnswers {
        holder: gid.holder().into(),
        recorded,
    }
}

fn unclear(gid: &Gid, source: Fault) -> ForceError {
    ForceError::HolderUnclear {
        holder: gid.holder().into(),
        source,
    }
}

/// All parts that the branches speak of must be seen, but for those that are said to be gone.
fn refuse_unless_complete(branches: &[Part<'_>], options: ForceOptions) -> Result<(), ForceError> {
    let seen = u16::try_from(branches.len()).unwrap_or(u16::MAX);
    let parts = branches.iter().map(|(.., branch)| branch.parts).max();
    let parts = parts.unwrap_or_default().max(seen);
    let missing = parts - seen;
    if missing == 0 || missing == options.parts_gone {
        return Ok(());
    }
    Err(ForceError::PartsMissing { seen, parts })
}

/// All branches of the unit, by the keys of their binds; and whether it is recorded anywhere that the unit was forced so.
/// Every bind but the holder must be seen.
async fn look<'a>(
    scope: &'a Scope,
    gid: &Gid,
    outcome: Outcome,
) -> Result<(Vec<Part<'a>>, bool), ForceError> {
    let mut databases: Vec<&dyn Database> = scope.databases.iter().map(AsRef::as_ref).collect();
    databases.retain(|database| database.key() != gid.holder());
    let mut branches = Vec::new();
    let mut was_forced = false;
    for database in databases {
        let bind = database.key();
        let unreachable = |source| ForceError::Unreachable { bind, source };
        let Listing { whose, found } = database.branches().await.map_err(unreachable)?;
        match database.forced(gid, &whose).await {
            Ok(Some(recorded)) if recorded != outcome => {
                return Err(ForceError::Contradicts { bind, recorded });
            }
            // Who recorded that saw all parts.
            Ok(Some(_)) => was_forced = true,
            // Where our tables are missing, no unit of several writers was prepared either.
            Ok(None) | Err(Fault::NotInstalled(_)) => {}
            Err(source) => return Err(unreachable(source)),
        }
        for found in found {
            let Some(branch) = found.branch.filter(|branch| branch.gid == *gid) else {
                continue;
            };
            let source = match found.reach {
                Reach::Here => {
                    branches.push((database, whose.clone(), branch));
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
    // Two binds may lead to one database.
    let order = |(database, _, branch): &Part<'_>| {
        let is_of_another = database.key() != branch.bind;
        (branch.bind.clone(), is_of_another)
    };
    branches.sort_by_key(order);
    branches.dedup_by(|(.., one), (.., other)| one.bind == other.bind);
    Ok((branches, was_forced))
}
