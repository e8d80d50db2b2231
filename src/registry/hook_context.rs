//! The context of a running hook, in which some calls would wait for themselves.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

use crate::registry::{Entry, Registry};

tokio::task_local! {
    /// The innermost context that this task runs in.
    static CONTEXT: Arc<HookContext>;
}

/// A context that ends only after a hook.
struct HookContext {
    kind: ContextKind,
    /// The enclosing context, which waits for this one.
    outer: Option<Arc<HookContext>>,
}

enum ContextKind {
    /// A task in the background of a registry, identified by its tracker.
    Background(TaskTracker),
    /// The begin of a transaction, identified by the address of its entry.
    Begin(usize),
}

impl Registry {
    /// Starts the end of a unit in the background, with its hooks.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        ending: impl Future<Output = T> + Send + 'static,
        handle: &Handle,
    ) -> JoinHandle<T> {
        let ending = within(ContextKind::Background(self.background.clone()), ending);
        self.background.spawn_on(ending, handle)
    }

    /// Returns whether [`close`](crate::Binds::close) waits for this task.
    pub(super) fn is_in_background(&self) -> bool {
        is_within(
            |kind| matches!(kind, ContextKind::Background(tracker) if TaskTracker::ptr_eq(tracker, &self.background)),
        )
    }
}

impl<C> Entry<C> {
    /// Runs a hook at the begin of a transaction.
    pub(crate) async fn beginning<T>(&self, hook: impl Future<Output = T>) -> T {
        within(ContextKind::Begin(self.address()), hook).await
    }

    /// Returns whether this task runs a hook at the begin of a transaction here. The begin waits for that hook.
    pub(crate) fn is_beginning(&self) -> bool {
        let address = self.address();
        is_within(|kind| matches!(kind, ContextKind::Begin(entry) if *entry == address))
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

fn within<F: Future>(kind: ContextKind, future: F) -> impl Future<Output = F::Output> {
    let outer = CONTEXT.try_with(Arc::clone).ok();
    CONTEXT.scope(Arc::new(HookContext { kind, outer }), future)
}

fn is_within(matches: impl Fn(&ContextKind) -> bool) -> bool {
    let look = |innermost: &Arc<HookContext>| {
        let mut context = Some(innermost);
        while let Some(HookContext { kind, outer }) = context.map(Arc::as_ref) {
            if matches(kind) {
                return true;
            }
            context = outer.as_ref();
        }
        false
    };
    CONTEXT.try_with(look).unwrap_or(false)
}
