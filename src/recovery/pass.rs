//! One look at all databases.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;

use crate::backend::Found;
use crate::commit::Fault;
use crate::gid::Branch;
use crate::recovery::database::{Database, Scope};
use crate::recovery::forget::forget;
use crate::recovery::judge::{Finder, OLD, Verdict, judge};
use crate::recovery::report::{InDoubtBranch, Left, Recovered, Recovery};

/// How long a unit is left to the process that is committing it.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    Look,
    /// Finish what has been prepared for so long.
    Finish(Duration),
}

pub(crate) async fn recover(scope: &Scope, purpose: Purpose) -> Recovery {
    let mut pass = Pass {
        scope,
        purpose,
        down: HashMap::new(),
        recovery: Recovery::default(),
    };
    // Without a namespace nothing was ever prepared.
    if !scope.namespace.is_empty() {
        pass.look().await;
    }
    let mut recovery = pass.recovery;
    if purpose != Purpose::Look {
        forget(scope, &mut recovery).await;
    }
    recovery
}

struct Pass<'a> {
    scope: &'a Scope,
    purpose: Purpose,
    /// Databases that did not answer. They are not asked again in this pass, for each of its branches.
    down: HashMap<&'static str, Arc<Fault>>,
    recovery: Recovery,
}

impl Pass<'_> {
    async fn look(&mut self) {
        let databases = &self.scope.databases;
        let listed = join_all(databases.iter().map(|database| database.branches())).await;
        for (database, listed) in databases.iter().zip(listed) {
            match listed {
                Err(fault) => self.recovery.unreachable.push((database.key(), fault)),
                Ok(found) => {
                    for found in found {
                        self.handle(database.as_ref(), found).await;
                    }
                }
            }
        }
    }

    async fn handle(&mut self, database: &dyn Database, found: Found) {
        let grace = match self.purpose {
            Purpose::Look => Duration::ZERO,
            Purpose::Finish(grace) => grace,
        };
        let finder = Finder {
            namespace: &self.scope.namespace,
            bind: database.key(),
        };
        let has_bind = |key: &str| self.scope.by_key(key).is_some();
        let left = match judge(&found, finder, grace, has_bind) {
            Verdict::Ignore => return,
            Verdict::Leave(left) => left,
            Verdict::Ask(_) if self.purpose == Purpose::Look => Left::Looked,
            Verdict::Ask(branch) => match self.finish(database, &branch).await {
                Ok(recovered) => {
                    tracing::info!(
                        bind = database.key(),
                        gid = %branch.gid,
                        outcome = ?recovered.outcome,
                        "finished a unit that was in doubt"
                    );
                    self.recovery.recovered.push(recovered);
                    return;
                }
                Err(left) => left,
            },
        };
        let branch = InDoubtBranch {
            bind: database.key(),
            name: found.name,
            unit: Some(found.unit),
            gid: found.branch.map(|branch| branch.gid),
            age: found.age,
            left,
        };
        // Of unknown age is one that nothing places: it does not go away by itself.
        if self.purpose != Purpose::Look && branch.age.is_none_or(|age| age >= OLD) {
            warn(&branch);
        }
        self.recovery.in_doubt.push(branch);
    }

    async fn finish(
        &mut self,
        database: &dyn Database,
        branch: &Branch,
    ) -> Result<Recovered, Left> {
        let Some(holder) = self.scope.by_key(branch.gid.holder()) else {
            return Err(Left::UnknownHolder);
        };
        let outcome = match self.down.get(holder.key()) {
            Some(fault) => Err(Arc::clone(fault)),
            None => holder
                .resolve(&branch.gid)
                .await
                .map_err(|fault| self.note(holder, fault)),
        };
        let outcome = outcome.map_err(|fault| match *fault {
            Fault::Replaced => Left::ReplacedHolder,
            Fault::Forgotten => Left::Forgotten,
            _ => Left::Holder(fault),
        })?;
        let finished = match self.down.get(database.key()) {
            Some(fault) => Err(Arc::clone(fault)),
            None => database
                .finish(branch, outcome)
                .await
                .map_err(|fault| self.note(database, fault)),
        };
        finished.map_err(|fault| Left::Unfinished(outcome, fault))?;
        Ok(Recovered {
            bind: database.key(),
            gid: branch.gid.clone(),
            outcome,
        })
    }

    /// Remembers a database that does not answer.
    fn note(&mut self, database: &dyn Database, fault: Fault) -> Arc<Fault> {
        let fault = Arc::new(fault);
        if matches!(*fault, Fault::Connect(_) | Fault::TimedOut) {
            self.down.insert(database.key(), Arc::clone(&fault));
        }
        fault
    }
}

fn warn(branch: &InDoubtBranch) {
    tracing::warn!(
        bind = branch.bind,
        gid = branch.gid.as_ref().map(tracing::field::display),
        branch = branch.name,
        age = branch.age.map(|age| age.as_secs()),
        error = &branch.left as &dyn std::error::Error,
        "a unit is in doubt and keeps its locks"
    );
}
