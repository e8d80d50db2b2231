//! One look at all binds.

use std::time::Duration;

use futures_util::future::join_all;

use crate::backend::Found;
use crate::gid::Branch;
use crate::recovery::judge::{Verdict, judge};
use crate::recovery::report::{InDoubtBranch, Left, Recovered, Recovery};
use crate::registry::{AnyEntry, Registry};

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Look,
    /// Finish what has been prepared for so long.
    Finish(Duration),
}

pub(super) async fn recover(registry: &Registry, purpose: Purpose) -> Recovery {
    let mut recovery = Recovery::default();
    // Without a namespace nothing was ever prepared.
    if registry.namespace.is_empty() {
        return recovery;
    }
    let listed = join_all(registry.entries.iter().map(|entry| entry.branches())).await;
    for (entry, listed) in registry.entries.iter().zip(listed) {
        match listed {
            Err(fault) => recovery.unreachable.push((entry.key(), fault)),
            Ok(found) => {
                for found in found {
                    handle(registry, entry.as_ref(), found, purpose, &mut recovery).await;
                }
            }
        }
    }
    recovery
}

async fn handle(
    registry: &Registry,
    entry: &dyn AnyEntry,
    found: Found,
    purpose: Purpose,
    recovery: &mut Recovery,
) {
    let grace = match purpose {
        Purpose::Look => Duration::ZERO,
        Purpose::Finish(grace) => grace,
    };
    let left = match judge(&found, grace, |key| registry.by_key(key).is_some()) {
        // MariaDB lists the branches of all databases of the server: the bind whose it is can place it.
        Verdict::Leave(Left::Unplaced) if !found.name.ends_with(&format!(":{}", entry.key())) => {
            return;
        }
        Verdict::Leave(left) => left,
        Verdict::Ask(_) if purpose == Purpose::Look => Left::Looked,
        Verdict::Ask(branch) => match finish(registry, entry, &branch).await {
            Ok(recovered) => {
                tracing::info!(
                    bind = entry.key(),
                    gid = %branch.gid,
                    outcome = ?recovered.outcome,
                    "finished a unit that was in doubt"
                );
                recovery.recovered.push(recovered);
                return;
            }
            Err(left) => left,
        },
    };
    if !matches!(left, Left::Young | Left::Looked) {
        tracing::warn!(
            bind = entry.key(),
            branch = found.name,
            error = &left as &dyn std::error::Error,
            "a branch is in doubt and keeps its locks"
        );
    }
    recovery.in_doubt.push(InDoubtBranch {
        bind: entry.key(),
        name: found.name,
        gid: found.branch.map(|branch| branch.gid),
        age: found.age,
        left,
    });
}

async fn finish(
    registry: &Registry,
    entry: &dyn AnyEntry,
    branch: &Branch,
) -> Result<Recovered, Left> {
    let Some(holder) = registry.by_key(branch.gid.holder()) else {
        return Err(Left::UnknownHolder);
    };
    let outcome = holder.resolve(&branch.gid).await.map_err(Left::Holder)?;
    entry
        .finish(branch, outcome)
        .await
        .map_err(|fault| Left::Unfinished(outcome, fault))?;
    Ok(Recovered {
        bind: entry.key(),
        gid: branch.gid.clone(),
        outcome,
    })
}
