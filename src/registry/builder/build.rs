//! Building the registry from the arguments of the builder.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::gid::UnitClock;
use crate::recovery::Worker;
use crate::registry::any_entry::recovery_scope;
use crate::registry::builder::BindsBuilder;
use crate::registry::builder::pending::{Attachment, BindId, Pending, Placement};
use crate::registry::entry::EntryArguments;
use crate::registry::problem::BuildError;
use crate::registry::{AnyEntry, Binds, Registry, SharingBind};
use crate::trace::describe_metrics;

impl BindsBuilder {
    /// Makes the registry. Opens no connection, and needs no database to be up.
    ///
    /// # Errors
    ///
    /// All mistakes in one error.
    pub fn build(mut self) -> Result<Binds, BuildError> {
        let mut binds = self.resolve();
        self.find_problems(&binds);
        if !self.problems.is_empty() {
            return Err(BuildError {
                problems: self.problems,
            });
        }
        describe_metrics();
        let namespace: Arc<str> = self.namespace.unwrap_or_default().into();
        let clock = Arc::new(UnitClock::new(self.recovery.retention));
        let mut attached: Vec<Attachment> = Vec::new();
        for bind in &mut binds {
            if let Placement::Shared { with, path } = &mut bind.placement
                && let Some(path) = path.take()
            {
                attached.push(Attachment {
                    to: *with,
                    id: bind.id,
                    path,
                });
            }
        }
        let mut hooks: Vec<(BindId, Box<dyn Any + Send>)> = self
            .after_begin
            .into_iter()
            .filter_map(|(id, hook)| {
                let bind = binds.iter().find(|bind| bind.id.is(id))?;
                Some((bind.placement.owner(bind.id), hook))
            })
            .collect();
        let own = |bind: &&Pending| matches!(bind.placement, Placement::Own { .. });
        let is_only_bind = binds.iter().filter(own).count() == 1;
        let mut entries: Vec<Arc<dyn AnyEntry>> = Vec::new();
        let mut owners: Vec<(BindId, usize)> = Vec::new();
        let mut shared = Vec::new();
        for bind in binds {
            match bind.placement {
                Placement::Own { mut options, make } => {
                    options.attached = attached
                        .iter()
                        .filter(|file| file.to.is(bind.id))
                        .map(|file| (file.id.key, file.path.clone()))
                        .collect();
                    owners.push((bind.id, entries.len()));
                    let after_begin = hooks
                        .extract_if(.., |(id, _)| id.is(bind.id))
                        .map(|(_, hook)| hook)
                        .collect();
                    entries.push(make(EntryArguments {
                        options,
                        after_begin,
                        namespace: Arc::clone(&namespace),
                        is_only_bind,
                        timeouts: self.timeouts.clone(),
                        clock: Arc::clone(&clock),
                    }));
                }
                Placement::Shared { with, .. } => shared.push((bind.id, with)),
                Placement::Unresolved(_) | Placement::Broken => {}
            }
        }
        let mut sharing_binds = Vec::new();
        for (id, with) in shared {
            if let Some(&(_, entry)) = owners.iter().find(|(owner, _)| owner.is(with)) {
                owners.push((id, entry));
                sharing_binds.push(SharingBind {
                    key: id.key,
                    entry,
                    attached: attached.iter().any(|file| file.id.is(id)),
                });
            }
        }
        #[cfg(all(feature = "migrations", feature = "manifest"))]
        if let Some(manifest) = &self.manifest {
            self.migrations.add_needs(manifest);
        }
        #[cfg(feature = "migrations")]
        let migrations = self.migrations.build(&owners, &entries, &attached)?;
        let index = owners
            .into_iter()
            .filter_map(|(id, position)| Some((id.type_id?, position)))
            .collect();
        let scope = recovery_scope(&entries, &namespace, self.recovery.retention);
        let recoverable = entries.iter().any(|entry| entry.needs_recovery());
        let registry = Registry {
            index,
            entries,
            sharing_binds,
            namespace,
            clock,
            scope,
            background: TaskTracker::new(),
            worker: Worker::new(self.recovery, recoverable),
            trace: self.trace,
            closed: AtomicBool::new(false),
            #[cfg(feature = "migrations")]
            migrations,
            #[cfg(feature = "testing")]
            faults: parking_lot::Mutex::default(),
            sandbox: None,
        };
        if let Ok(runtime) = Handle::try_current() {
            registry.start_worker(&runtime);
        }
        Ok(Binds {
            registry: Arc::new(registry),
        })
    }
}
