//! Force: an operator decides in the place of a holder that is lost for good.
//!
//! Two operators, in processes with different binds, cannot finish a unit both ways. The process that forces must see
//! every part: each branch names the largest possible number of parts. Each process also records the forced outcome on
//! all databases, in one order, before it finishes anything. On the first database, the unique key of
//! `diesel_binds_forced` accepts only one of two outcomes.

use diesel_binds_derive::ErrorDebug;
use tracing::Instrument as _;

use crate::backend::{DatabaseIdentity, Reach};
use crate::commit::{Fault, Outcome};
use crate::gid::{Branch, Gid};
use crate::recovery::database::{Database, Listing, RecoveryScope};
use crate::recovery::events::report_finished;
use crate::recovery::report::{InDoubtBranch, InDoubtReason, Recovered, RecoveryReport};
use crate::recovery::unreached::is_unreached;
use crate::trace;
use crate::trace::recovery::BranchTrace;

/// The statements of an operator about a forced unit that no database can confirm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ForceOptions {
    parts_gone: u16,
    holder_gone: bool,
}

impl ForceOptions {
    /// Creates options without any such statement: every part of the unit must be seen.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// States that this number of parts of the unit is prepared on no database. Each of them was finished **with the
    /// outcome that is now forced**, was never prepared (the bind only read, or the process died before), or was on a
    /// database that is lost as well.
    ///
    /// Nothing can check that. If such a part was finished otherwise, or is still prepared on a database without a bind
    /// here, the unit is committed in part. Refused unless exactly this number of parts is missing. Defaults to none.
    #[must_use]
    pub fn parts_are_gone(mut self, parts: u16) -> Self {
        self.parts_gone = parts;
        self
    }

    /// States that the holder is lost for good, although this process cannot ask it: it has no bind of the holder's key,
    /// the server refuses the connection, for example because the database was dropped, or a copy answers in its place
    /// ([`Fault::OtherServer`]).
    ///
    /// Nothing can check that. If the holder works and decides otherwise, the unit is committed in part. Defaults to
    /// off.
    #[must_use]
    pub fn holder_is_gone(mut self) -> Self {
        self.holder_gone = true;
        self
    }
}

/// The reason why a unit was not forced. Unless a variant says otherwise, nothing was changed.
#[derive(ErrorDebug, thiserror::Error)]
#[non_exhaustive]
pub enum ForceError {
    /// The reason to record is empty.
    #[error("a forced outcome needs a reason, which is recorded with it")]
    NoReason,
    /// The unit belongs to another application.
    #[error("the unit belongs to the application `{namespace}`")]
    ForeignNamespace {
        /// The namespace of that application.
        namespace: String,
    },
    /// This process has no bind of the holder's key, and cannot ask the holder for its decision. Nothing was finished.
    #[error(
        "this process has no bind `{holder}`, which holds the decision; nothing was finished: register it, or, if its \
         database is lost for good, state that (`holder_is_gone`, `--holder-is-gone`)"
    )]
    UnknownHolder {
        /// The key of the holder.
        holder: String,
    },
    /// The holder answers, and is the database that decides: recovery finishes the unit by the holder's record.
    #[error(
        "`{holder}` answers and is the database that decides; nothing was forced: `binds.recovery().run()` finishes \
         the unit by its record"
    )]
    HolderAnswers {
        /// The key of the holder.
        holder: String,
        /// The outcome that the holder has recorded.
        recorded: Option<Outcome>,
    },
    /// The holder answers, is the database that decides, and has no decision of the unit. Its branches were not
    /// committed by a decision, and the coordinator may be rolling them back. Roll the unit back.
    #[error(
        "`{holder}` answers and has no decision of the unit; nothing was finished: force a roll-back, or finish the \
         unit by hand if a database was restored"
    )]
    NotDecided {
        /// The key of the holder.
        holder: String,
    },
    /// The holder may work: it can be reached, but not be identified as the database that decides or as another one.
    /// Or no connection could be opened, for another reason than that no server answered, like a wrong password. If a
    /// database has taken its place, install the tables there first.
    #[error(
        "`{holder}` may work, and may be the database that decides; nothing was finished: correct the cause, install \
         the tables if the database was replaced, or, if it refuses the connection and is lost for good, state that \
         (`holder_is_gone`, `--holder-is-gone`)"
    )]
    HolderUnclear {
        /// The key of the holder.
        holder: String,
        /// The reason why the holder could not be asked.
        source: Fault,
    },
    /// A bind could not be read or written to: it may have a branch of the unit, or another forced outcome. Records on
    /// other binds stay. Nothing was finished.
    #[error(
        "`{bind}` could not be read or written, and may have a part of the unit; nothing was finished: repeat the \
         call when it can be reached"
    )]
    Unreachable {
        /// The key of the bind.
        bind: &'static str,
        /// The reason.
        source: Fault,
    },
    /// A part of the unit is neither prepared nor recorded as forced on any bind of this process. Another process may
    /// have its bind, and force it the other way.
    #[error(
        "{seen} of up to {parts} prepared parts of the unit were found; nothing was finished: force the unit in a \
         process with a bind for each, or, if {} are gone, state that (`parts_are_gone`, `--parts-are-gone`)", parts - seen
    )]
    PartsMissing {
        /// The number of parts that were found.
        seen: u16,
        /// The largest possible number of parts. A bind that only read counts if it was asked in the same round as the
        /// prepare.
        parts: u16,
    },
    /// A branch of the unit cannot be finished from here.
    #[error("the branch on `{bind}` cannot be finished from here; nothing was finished")]
    OutOfReach {
        /// The key of the bind.
        bind: &'static str,
        /// The reason.
        source: InDoubtReason,
    },
    /// The other outcome was forced before. Nothing was finished now.
    #[error(
        "the unit was already forced on `{bind}`, as {recorded}; nothing was finished: repeat the call with that \
         outcome"
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

/// Finishes all branches of a unit by the operator's outcome, after recording it on each database that has one.
pub(crate) async fn force(
    scope: &RecoveryScope,
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
    scope: &RecoveryScope,
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
        && has_forgotten(holder, gid, options).await?
    {
        // The holder's records are only deleted after all parts have finished, so no branch was committed. A
        // coordinator that still runs may roll back one part while the operator commits another.
        if outcome == Outcome::Committed {
            let holder = gid.holder().into();
            return Err(ForceError::NotDecided { holder });
        }
        forgetful = Some(holder);
    }
    let (branches, was_forced) = find_branches(scope, gid, outcome).await?;
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
    // In one order: of two operators with different outcomes, one stops before anything is finished.
    for (database, listed_by, _) in &branches {
        let bind = database.key();
        let recorded = database.force(gid, outcome, reason, listed_by).await;
        let recorded = recorded.map_err(|source| ForceError::Unreachable { bind, source })?;
        if recorded != outcome {
            return Err(ForceError::Contradicts { bind, recorded });
        }
    }
    tracing::warn!(%gid, %outcome, reason, "a unit is finished by force");
    // Cancellation safety: the records stay, and the next call with the same outcome finishes the rest.
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
                    .in_scope(|| report_finished(&trace, &recovered, was_there));
                recovery.recovered.push(recovered);
            }
            Err(fault) => {
                let reason = InDoubtReason::Unfinished(outcome, fault.into());
                trace.left(&reason);
                recovery.in_doubt.push(InDoubtBranch {
                    bind,
                    name: branch.to_string(),
                    unit: Some(gid.unit()),
                    gid: Some(gid.clone()),
                    age: None,
                    reason,
                });
            }
        }
    }
    Ok(recovery)
}

/// A branch of the unit, with the bind that listed it and the identity of the database.
type Part<'a> = (&'a dyn Database, DatabaseIdentity, Branch);

/// Returns whether the holder answers and has forgotten the unit. Refuses if the holder may decide.
async fn has_forgotten(
    holder: &dyn Database,
    gid: &Gid,
    options: ForceOptions,
) -> Result<bool, ForceError> {
    match holder.recorded(gid).await {
        Ok(recorded) => Err(answers(gid, recorded)),
        // The coordinator may still be running, and has not noticed.
        Err(Fault::Forgotten | Fault::Forced) => Ok(true),
        // A server that refuses the login works, and may decide.
        Err(Fault::Connect(error)) if !options.holder_gone && !is_unreached(&*error) => {
            Err(unclear(gid, Fault::Connect(error)))
        }
        // A copy answers in the place of the holder, which may work and decide.
        Err(Fault::OtherServer { .. }) if options.holder_gone => Ok(false),
        // The holder is gone, or another database is in its place.
        Err(Fault::Connect(_) | Fault::TimedOut | Fault::Replaced) => Ok(false),
        Err(source) => Err(unclear(gid, source)),
    }
}

/// Takes the place of a holder that has forgotten the unit. A decision that a coordinator has not made yet is excluded.
/// One that it has made is returned as an error.
async fn displace(holder: &dyn Database, gid: &Gid) -> Result<(), ForceError> {
    match holder.force_on_holder(gid).await {
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

/// Refuses unless all parts that the branches name were found, except those that the operator states to be gone.
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

/// Returns all branches of the unit, in the order of their binds, and whether this outcome is recorded as forced
/// anywhere. Every bind but the holder must be readable.
async fn find_branches<'a>(
    scope: &'a RecoveryScope,
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
        let Listing {
            identity,
            branches: listed,
        } = database.branches().await.map_err(unreachable)?;
        match database.forced(gid, &identity).await {
            Ok(Some(recorded)) if recorded != outcome => {
                return Err(ForceError::Contradicts { bind, recorded });
            }
            // The process that recorded this had found all parts.
            Ok(Some(_)) => was_forced = true,
            // Without the tables, no unit of several writers was prepared either.
            Ok(None) | Err(Fault::NotInstalled(_)) => {}
            Err(source) => return Err(unreachable(source)),
        }
        for listed in listed {
            let Some(branch) = listed.branch.filter(|branch| branch.gid == *gid) else {
                continue;
            };
            let source = match listed.reach {
                Reach::Here => {
                    branches.push((database, identity.clone(), branch));
                    continue;
                }
                // This branch belongs to another bind.
                Reach::OtherDatabase(_) if branch.bind != bind => continue,
                Reach::OtherDatabase(name) => InDoubtReason::OtherDatabase(name),
                Reach::OtherRole(name) => InDoubtReason::OtherRole(name),
                Reach::Lost => InDoubtReason::NameLost,
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
