//! The search for mistakes in the arguments of the builder.

use std::collections::HashSet;

use crate::backend::{Backend, Unsupported};
use crate::config::HolderPreference;
use crate::gid::{MAX_KEY, MAX_NAMESPACE, is_name};
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::{Pending, Placement};
use crate::registry::problem::BuildProblem;

impl BindsBuilder {
    /// Adds the mistakes that only all arguments together show to the problems of the builder.
    pub(super) fn find_problems(&mut self, binds: &[Pending]) {
        let problems = &mut self.problems;
        if binds.is_empty() {
            problems.push(BuildProblem::Empty);
        }
        let mut keys = HashSet::new();
        for bind in binds {
            if !is_name(bind.id.key, MAX_KEY) {
                problems.push(BuildProblem::InvalidKey {
                    key: bind.id.key.into(),
                });
            }
            if !keys.insert(bind.id.key) {
                problems.push(BuildProblem::RepeatedKey { key: bind.id.key });
            }
            match &bind.placement {
                Placement::Shared { with, .. } => {
                    let known = binds.iter().any(|other| {
                        other.id.is(*with) && !matches!(other.placement, Placement::Shared { .. })
                    });
                    if !known {
                        problems.push(BuildProblem::UnknownKey {
                            bind: bind.id.key,
                            with: with.key,
                        });
                    }
                }
                Placement::Own { options, .. } => {
                    let cannot = bind.backend == Backend::Sqlite || options.never_prepare;
                    if cannot && options.holder == HolderPreference::Avoid {
                        problems.push(BuildProblem::CannotAvoid { bind: bind.id.key });
                    }
                    let checked = options.settings.check(bind.backend, options.read_only);
                    if let Err(Unsupported { option, reason }) = checked {
                        problems.push(BuildProblem::Unsupported {
                            bind: bind.id.key,
                            option,
                            reason,
                        });
                    }
                }
                Placement::Unresolved(_) | Placement::Broken => {}
            }
        }
        for (id, _) in &self.after_begin {
            if !binds.iter().any(|bind| bind.id.is(*id)) {
                problems.push(BuildProblem::UnknownHook { bind: id.key });
            }
        }
        match &self.namespace {
            Some(namespace) if !is_name(namespace, MAX_NAMESPACE) => {
                problems.push(BuildProblem::InvalidNamespace {
                    namespace: namespace.clone(),
                });
            }
            None if may_prepare(binds) || records(binds) => {
                problems.push(BuildProblem::NoNamespace)
            }
            _ => {}
        }
    }
}

/// Returns whether a bind records its decisions even if it is the only writer: the record needs the name of the
/// application.
fn records(binds: &[Pending]) -> bool {
    binds.iter().any(
        |bind| matches!(&bind.placement, Placement::Own { options, .. } if options.record_every_commit),
    )
}

/// Returns whether a unit may have several participants of which one prepares.
fn may_prepare(binds: &[Pending]) -> bool {
    let own: Vec<&Pending> = binds
        .iter()
        .filter(|bind| !matches!(bind.placement, Placement::Shared { .. }))
        .collect();
    own.len() > 1 && own.iter().any(|bind| {
        bind.backend != Backend::Sqlite
            && !matches!(&bind.placement, Placement::Own { options, .. } if options.never_prepare)
    })
}
