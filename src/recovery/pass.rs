//! One pass over all databases.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use tracing::Instrument as _;

use crate::backend::{DatabaseIdentity, ListedBranch};
use crate::commit::Fault;
use crate::gid::Branch;
use crate::recovery::database::{Database, Listing, RecoveryScope};
use crate::recovery::events;
use crate::recovery::forget::forget;
use crate::recovery::judge::{Finder, Verdict, judge};
use crate::recovery::purpose::Purpose;
use crate::recovery::report::{InDoubtBranch, InDoubtReason, Recovered, RecoveryReport};
use crate::trace;
use crate::trace::recovery::BranchTrace;

pub(super) async fn recover(scope: &RecoveryScope, purpose: Purpose) -> RecoveryReport {
    let mut pass = Pass {
        scope,
        purpose,
        down: HashMap::new(),
        recovery: RecoveryReport::default(),
    };
    // Without a namespace, nothing was ever prepared.
    if !scope.namespace.is_empty() {
        pass.visit_all().await;
    }
    let mut recovery = pass.recovery;
    if purpose != Purpose::Look {
        forget(scope, &mut recovery).await;
    }
    recovery
}

struct Pass<'a> {
    scope: &'a RecoveryScope,
    purpose: Purpose,
    /// The databases that did not answer. They are asked once in a pass, not for each of its branches.
    down: HashMap<&'static str, Arc<Fault>>,
    recovery: RecoveryReport,
}

impl Pass<'_> {
    async fn visit_all(&mut self) {
        let databases = &self.scope.databases;
        let listings = databases.iter().map(|database| {
            let span = trace::recovery::database(database.key());
            let listing = database.branches().instrument(span.clone());
            listing.map(|listed| (span, listed))
        });
        for (database, (span, listed)) in databases.iter().zip(join_all(listings).await) {
            events::note_listing(&span, database.as_ref(), &listed, self.purpose);
            match listed {
                Err(fault) => self.recovery.unreachable.push((database.key(), fault)),
                Ok(Listing { identity, branches }) => {
                    let handling = async {
                        for listed in branches {
                            self.handle(database.as_ref(), listed, &identity).await;
                        }
                    };
                    handling.instrument(span).await;
                }
            }
        }
    }

    async fn handle(
        &mut self,
        database: &dyn Database,
        listed: ListedBranch,
        listed_by: &DatabaseIdentity,
    ) {
        let finder = Finder {
            namespace: &self.scope.namespace,
            bind: database.key(),
        };
        let has_bind = |key: &str| self.scope.by_key(key).is_some();
        let reason = match judge(&listed, finder, self.purpose.grace(), has_bind) {
            Verdict::Ignore => return,
            Verdict::Leave(reason) => reason,
            Verdict::Ask(_) if self.purpose == Purpose::Look => InDoubtReason::OnlyListed,
            Verdict::Ask(branch) => {
                let trace = BranchTrace::begin(database.key(), &branch.gid);
                let finishing = self.finish(database, listed_by, &branch, &trace);
                match finishing.instrument(trace.span()).await {
                    Ok(recovered) => {
                        self.recovery.recovered.push(recovered);
                        return;
                    }
                    Err(reason) => {
                        trace.left(&reason);
                        reason
                    }
                }
            }
        };
        let branch = InDoubtBranch {
            bind: database.key(),
            name: listed.name,
            unit: Some(listed.unit),
            gid: listed.branch.map(|branch| branch.gid),
            age: listed.age,
            reason,
        };
        if self.purpose != Purpose::Look {
            events::report_in_doubt(&branch);
        }
        self.recovery.in_doubt.push(branch);
    }

    async fn finish(
        &mut self,
        database: &dyn Database,
        listed_by: &DatabaseIdentity,
        branch: &Branch,
        trace: &BranchTrace,
    ) -> Result<Recovered, InDoubtReason> {
        let Some(holder) = self.scope.by_key(branch.gid.holder()) else {
            return Err(InDoubtReason::UnknownHolder);
        };
        let resolved = self.ask(holder, holder.resolve(&branch.gid)).await;
        let outcome = resolved.map_err(|fault| match *fault {
            Fault::Replaced => InDoubtReason::ReplacedHolder,
            Fault::Forgotten => InDoubtReason::Forgotten,
            Fault::Forced => InDoubtReason::Forced,
            _ => InDoubtReason::Holder(fault),
        })?;
        trace.outcome(outcome.into());
        let finishing = database.finish(branch, outcome, listed_by);
        let finished = self.ask(database, finishing).await;
        let was_there = finished.map_err(|fault| InDoubtReason::Unfinished(outcome, fault))?;
        let recovered = Recovered {
            bind: database.key(),
            gid: branch.gid.clone(),
            outcome,
        };
        events::report_finished(trace, &recovered, was_there);
        Ok(recovered)
    }

    /// Sends a request to a database, unless an earlier one showed that it does not answer.
    async fn ask<T>(
        &mut self,
        database: &dyn Database,
        asking: BoxFuture<'_, Result<T, Fault>>,
    ) -> Result<T, Arc<Fault>> {
        if let Some(fault) = self.down.get(database.key()) {
            return Err(Arc::clone(fault));
        }
        let answer = asking.await.map_err(Arc::new);
        if let Err(fault) = &answer
            && let Fault::Connect(_) | Fault::TimedOut | Fault::Unconfirmed = **fault
        {
            self.down.insert(database.key(), Arc::clone(fault));
        }
        answer
    }
}
